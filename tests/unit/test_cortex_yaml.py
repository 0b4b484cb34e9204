"""A cortex.yaml of any generation is read as it is; what means nothing here is named, what cannot be served refused."""

import pytest

from stream_infer.configuration import load_settings
from stream_infer.errors import ConfigError

BATCH = """\
- name: image-classifier
  kind: BatchAPI
  predictor:
    type: python
    path: predictor.py
    config: {top: 5}
    image: quay.io/cortexlabs/python-predictor-gpu:0.31
    env: {MODE: fast, LEVEL: 3}
    log_level: debug
  compute: {cpu: 1, gpu: 1}
  networking: {endpoint: images}
"""


@pytest.fixture
def read(tmp_path):
    def read(text, environ=None):
        file = tmp_path / "cortex.yaml"
        file.write_text(text)
        notes = []
        settings = load_settings(file, environ or {}, {}, notes.append)
        return settings, [note.removeprefix(f"{file}: ") for note in notes]

    return read


@pytest.fixture
def refused(read, tmp_path):
    def refused(text):
        with pytest.raises(ConfigError) as caught:
            read(text)
        return str(caught.value).replace(f"{tmp_path}/", "").splitlines()

    return refused


def test_a_batch_api_of_the_predictor_generation(read, tmp_path):
    settings, notes = read(BATCH)

    [api] = settings.apis
    assert (api.name, api.predictor.type, api.predictor.kind) == ("image-classifier", "cortex", "batch")
    assert api.predictor.path == str(tmp_path / "predictor.py")
    assert api.predictor.project == tmp_path
    assert api.predictor.config == {"top": 5}
    assert api.predictor.env == {"MODE": "fast", "LEVEL": "3"}
    assert (api.workers.min, api.workers.max) == (0, 4)
    assert (api.batching.max_batch_size, api.batching.call_timeout) == (1024, 3600)
    assert [note.partition(" is ignored: ")[0] for note in notes] == [
        "image-classifier.compute (line 10)",
        "image-classifier.networking (line 11)",
        "image-classifier.predictor.image (line 7)",
        "image-classifier.predictor.log_level (line 9)",
    ]


def test_a_handler_is_a_predictor_by_a_later_name_and_replicas_are_workers(read):
    settings, _ = read(
        "- name: hot-dog\n  kind: RealtimeAPI\n  handler: {type: python, path: handler.py, python_path: lib}\n"
        "  autoscaling: {min_replicas: 2, max_replicas: 3, window: 60s}\n"
        "- name: later\n  kind: AsyncAPI\n  handler: {type: python, path: handler.py}\n"
    )

    hot, later = settings.apis
    assert (hot.predictor.kind, later.predictor.kind) == ("realtime", "async")
    assert hot.predictor.python_path == hot.predictor.project / "lib"
    assert (hot.batching.max_batch_size, later.batching.max_batch_size) == (1, 1)
    assert (hot.realtime.replicas, hot.realtime.listen) == (2, "127.0.0.1:8090")
    assert (hot.workers.min, hot.workers.max) == (0, 3)
    assert (later.workers.min, later.workers.max, later.realtime) == (1, 1, None)


def test_server_side_batching_is_batching_here(read):
    batching = "{max_batch_size: 8, batch_interval: 0.1s}"
    settings, _ = read(f"- name: a\n  predictor: {{path: p.py, server_side_batching: {batching}}}\n")

    [api] = settings.apis
    assert (api.predictor.batch_size, api.batching.max_batch_size, api.batching.max_wait_ms) == (8, 8, 100.0)


def test_the_first_generation_has_a_deployment_and_metadata(read):
    settings, notes = read(
        "- kind: deployment\n  name: food\n"
        "- kind: api\n  name: hotdog\n  predictor: {path: predictor.py, metadata: {model: s3://b/k}}\n"
        "  tracker: {model_type: classification}\n"
        "- kind: api\n  name: older\n  python: {predictor: old.py}\n"
        "- name: without-kind\n  endpoint: /x\n  predictor: {type: python, path: p.py}\n"
    )

    assert [api.name for api in settings.apis] == ["hotdog", "older", "without-kind"]
    assert {api.predictor.kind for api in settings.apis} == {"realtime"}
    assert settings.apis[0].predictor.config == {"model": "s3://b/k"}
    assert settings.apis[1].predictor.path.endswith("/old.py")
    assert notes[0].startswith("food (line 1) is ignored: the deployment's name is not needed")


def test_the_environment_says_what_a_cortex_yaml_cannot(read):
    settings, _ = read(
        BATCH,
        {
            "STREAM_INFER__STORE": "s3://bucket/results",
            "STREAM_INFER__FETCH__ALLOWED_S3_PREFIXES": "[s3://bucket/in]",
            "STREAM_INFER__APIS__IMAGE_CLASSIFIER__WORKERS__MAX": "2",
        },
    )

    assert settings.store == "s3://bucket/results"
    assert settings.fetch.allowed_s3_prefixes == ["s3://bucket/in"]
    assert settings.apis[0].workers.max == 2


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("{name: a, kind: TaskAPI}", "cortex.yaml:1: a.kind: TaskAPI runs a task without items"),
        ("{name: a, kind: TrafficSplitter, apis: []}", "cortex.yaml:1: a.kind: TrafficSplitter splits traffic"),
        ("{name: a, kind: BatchApi}", "cortex.yaml:1: a.kind: 'BatchApi' is unknown; did you mean BatchAPI?"),
        ("{name: a, kind: BatchAPI}", "cortex.yaml:1: a.predictor: is missing: it names"),
        ("{name: a, kind: BatchAPI, pod: {containers: []}}", "cortex.yaml:1: a.pod: runs containers of one's own"),
        (
            "{name: a, predictor: {type: tensorflow, path: p.py}}",
            "cortex.yaml:1: a.predictor.type: 'tensorflow' needs Cortex's own runtime",
        ),
        (
            "{name: a, predictor: {path: p.py, multi_model_reloading: {path: s3://b}}}",
            "cortex.yaml:1: a.predictor.multi_model_reloading: hands the predictor a client",
        ),
        (
            "{name: a, predictor: {path: p.py, server_side_batching: {max_batch_size: 2, batch_interval: soon}}}",
            "a.predictor.server_side_batching.batch_interval: is no duration",
        ),
        ("{name: a, predictor: {path: p.py, pth: x}}", "cortex.yaml:1: a.predictor.pth: unknown key of a cortex.yaml"),
        ("{name: a, predictor: {type: python}}", "cortex.yaml:1: apis.a.predictor.path: is missing"),
        ("{name: My_API, predictor: {path: p.py}}", "cortex.yaml:1: apis.My_API.name: 'My_API' is not lower-case"),
        ("{name: a, predictor: {path: p.py}, autoscaling: {max: 1}}", "a.autoscaling.max: unknown key"),
    ],
)
def test_what_cannot_be_served_is_refused_with_its_line(refused, entry, said):
    [line] = refused(f"- {entry}\n")

    assert said in line


def test_everything_that_is_wrong_is_said_at_once(refused):
    assert len(refused("- {name: a, kind: TaskAPI}\n- {name: b, pod: {}, tracker: {}}\n- hello\n")) == 3
