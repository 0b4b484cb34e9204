"""Predictors written for Cortex, of every generation: what they are called with, and what their answers mean."""

import os
import sys
from pathlib import Path

import pytest

from stream_infer.errors import JobRefused, PredictorUnavailable
from stream_infer.predictors.cortex_batch import job_spec, merged, outputs_of
from stream_infer.predictors.cortex_requests import plain
from stream_infer.predictors.finding import full_name
from stream_infer.predictors.loader import load
from stream_infer.predictors.protocol import Batch, Job, Raised, Request
from stream_infer.predictors.spec import PredictorSpec

JOB = Job("job-1", {"dest": "s3://b/k"}, api="a", workers=2, batch_size=2, items=5, submitted_at=0.0)
OTHER = Job("job-2", {})


@pytest.fixture(autouse=True)
def put_back(monkeypatch):
    """A predictor's process is in its project and has its path and variables; this one is not to be."""
    monkeypatch.chdir(Path.cwd())
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(os, "environ", os.environ.copy())


@pytest.fixture
def spec(tmp_path):
    def spec(code, kind="batch", config=None, **options):
        (tmp_path / "predictor.py").write_text(code)
        options = {"kind": kind, "instances": 2, **options}
        return PredictorSpec("cortex", "predictor.py", config or {}, directory=str(tmp_path), options=options)

    return spec


def batches(predictor, job, *items):
    predictor.load(job)
    return predictor.predict_batch(list(items), Batch("batch-1", job))


CONSTRUCTORS = {
    "self": "None",
    "self, config": "config",
    "self, job_spec": "job_spec",
    "self, config, job_spec": "[config, job_spec]",
    "self, job_spec, config": "[config, job_spec]",
    "self, **given": "sorted(given)",
    "self, config, metrics_client, debug=False": "[config, debug]",
}


@pytest.mark.parametrize("parameters", CONSTRUCTORS)
def test_a_constructor_takes_any_of_its_arguments(spec, parameters):
    predictor = load(
        spec(
            f"class PythonPredictor:\n"
            f"    def __init__({parameters}):\n        self.got = {CONSTRUCTORS[parameters]}\n"
            f"    def predict(self, payload):\n        return [self.got for _ in payload]\n",
            config={"size": 1},
        )
    )
    config, of_job = {"size": 1, "dest": "s3://b/k"}, job_spec(JOB)

    assert batches(predictor, JOB, "x") == [
        {
            "self": None,
            "self, config": config,
            "self, job_spec": of_job,
            "self, config, job_spec": [config, of_job],
            "self, job_spec, config": [config, of_job],
            "self, **given": ["config", "job_spec", "metrics_client"],
            "self, config, metrics_client, debug=False": [config, False],
        }[parameters]
    ]


@pytest.mark.parametrize(
    ("method", "output"),
    [
        ("predict(self, payload)", [["x", "y"], None]),
        ("predict(self, payload, batch_id)", [["x", "y"], "batch-1"]),
        ("predict(self, batch_id)", [None, "batch-1"]),
        ("predict(self, batch_id, payload)", [["x", "y"], "batch-1"]),
        ("predict(self, payload, batch_id, query_params, headers)", [["x", "y"], "batch-1"]),
        ("handle_batch(self, payload, batch_id)", [["x", "y"], "batch-1"]),
    ],
)
@pytest.mark.parametrize("name", ["PythonPredictor", "Handler"])
def test_predict_takes_any_of_its_arguments_under_any_of_its_names(spec, name, method, output):
    seen = ", ".join(part if part in method else "None" for part in ("payload", "batch_id"))
    predictor = load(spec(f"class {name}:\n    def {method}:\n        return dict(got=[{seen}])\n"))

    assert batches(predictor, JOB, "x", "y") == [{"got": output}, None]


@pytest.mark.parametrize(
    ("returned", "count", "outputs"),
    [
        (None, 3, [None, None, None]),
        ([1, 2, 3], 3, [1, 2, 3]),
        ((1, 2), 2, [1, 2]),
        ([1, 2], 3, [[1, 2], None, None]),
        ([], 1, [[]]),
        ({"a": 1}, 2, [{"a": 1}, None]),
        ("ab", 2, ["ab", None]),
        ([7], 1, [7]),
    ],
)
def test_what_a_batch_predictor_returns(returned, count, outputs):
    assert outputs_of(returned, count) == outputs


STATEFUL = """
class PythonPredictor:
    made = 0
    ended = []

    def __init__(self, config, job_spec):
        if config.get("refuse"):
            raise ValueError("'dest_s3_dir' was not provided")
        PythonPredictor.made += 1
        self.job, self.seen = job_spec["job_id"], []

    def predict(self, payload):
        self.seen += payload
        return [len(self.seen)] * len(payload)

    def on_job_complete(self):
        PythonPredictor.ended.append([self.job, self.seen])
"""


def test_state_is_a_jobs_own_is_kept_between_batches_and_is_there_for_its_hook(spec):
    predictor = load(spec(STATEFUL))

    assert batches(predictor, JOB, 1, 2) == [2, 2]
    assert batches(predictor, OTHER, 9) == [1]
    assert batches(predictor, JOB, 3) == [3]
    predictor.on_job_complete(JOB)

    ended = sys.modules["predictor"].PythonPredictor.ended
    assert ended == [["job-1", [1, 2, 3]]]
    assert not predictor.holds(JOB)
    assert predictor.holds(OTHER)


def test_the_job_used_longest_ago_loses_its_instance_first(spec):
    predictor = load(spec(STATEFUL))
    for job_id in ("a", "b", "a", "c"):
        predictor.load(Job(job_id, {}))

    assert [predictor.holds(Job(job_id, {})) for job_id in "abc"] == [True, False, True]


def test_a_job_that_has_ended_elsewhere_is_forgotten(spec):
    predictor = load(spec(STATEFUL))
    predictor.load(JOB)

    predictor.forget("job-1")

    assert not predictor.holds(JOB)


def test_a_job_whose_instance_cannot_be_made_is_refused_each_time_with_what_was_raised(spec):
    predictor = load(spec(STATEFUL))
    bad = Job("bad", {"refuse": True})

    for _ in range(2):
        with pytest.raises(JobRefused, match=r"job bad cannot be served: .*ValueError: 'dest_s3_dir'") as caught:
            predictor.load(bad)
        assert isinstance(caught.value.__cause__, ValueError)
    assert not predictor.holds(bad)
    assert batches(predictor, JOB, 1) == [1]


def test_a_job_that_finds_no_memory_beside_others_gets_theirs(spec):
    predictor = load(
        spec(
            "import weakref\n"
            "class Handler:\n"
            "    there = weakref.WeakSet()\n"
            "    def __init__(self):\n"
            "        if Handler.there:\n"
            "            raise MemoryError('CUDA out of memory')\n"
            "        Handler.there.add(self)\n"
            "    def handle_batch(self, payload): ...\n"
        )
    )
    predictor.load(JOB)

    predictor.load(OTHER)

    assert [predictor.holds(job) for job in (JOB, OTHER)] == [False, True]


def test_a_service_that_is_away_refuses_nothing(spec):
    predictor = load(
        spec(
            "from stream_infer.errors import RetryableError\n"
            "class PythonPredictor:\n"
            "    def __init__(self):\n        raise RetryableError('429')\n"
            "    def predict(self, payload): ...\n"
        )
    )

    with pytest.raises(Exception, match="429"):
        predictor.load(JOB)
    assert not predictor.holds(JOB)


def test_a_class_without_a_hook_has_none(spec):
    assert load(spec("class Handler:\n    def handle_batch(self, payload): ...\n")).on_job_complete is None


@pytest.mark.parametrize(
    ("kind", "code", "name"),
    [
        ("batch", "class Handler:\n    def handle_batch(self, payload): ...\n", "predictor.Handler"),
        ("realtime", "class PythonPredictor:\n    def predict(self, payload): ...\n", "predictor.PythonPredictor"),
        ("realtime", "def predict(sample, metadata): ...\n", "predictor.predict"),
    ],
)
def test_a_predictor_is_known_by_its_own_name(spec, kind, code, name):
    assert full_name(load(spec(code, kind=kind))) == name


def test_items_without_a_job_have_an_instance_of_their_own(spec):
    predictor = load(spec(STATEFUL))

    assert predictor.predict([1, 2]) == [2, 2]
    assert batches(predictor, None, 3) == [3]


def test_a_job_in_cortexs_words():
    assert job_spec(JOB) == {
        "job_id": "job-1",
        "api_name": "a",
        "kind": "BatchAPI",
        "config": {"dest": "s3://b/k"},
        "workers": 2,
        "total_batch_count": 3,
        "start_time": "1970-01-01T00:00:00Z",
    }
    assert job_spec(OTHER)["total_batch_count"] is None


def test_the_jobs_config_is_laid_over_the_apis_at_any_depth():
    api = {"model": {"path": "a", "size": 1}, "labels": [1], "top": 5}

    assert merged(api, {"model": {"size": 2}, "labels": [2], "new": 1}) == {
        "model": {"path": "a", "size": 2},
        "labels": [2],
        "top": 5,
        "new": 1,
    }
    assert api["model"] == {"path": "a", "size": 1}


GENERATIONS = {
    "functions": "def predict(sample, metadata):\n    return metadata['says'] + sample['url']\n",
    "functions by any name": "def predict(payload, args):\n    return args['says'] + payload['url']\n",
    "functions with init": (
        "says = {}\ndef init(metadata):\n    says.update(metadata)\n"
        "def predict(sample, metadata):\n    return says['says'] + sample['url']\n"
    ),
    "functions of the first": (
        "got = {}\ndef init(model_path, metadata):\n    got.update(metadata)\n"
        "def predict(sample):\n    return got['says'] + sample['url']\n"
    ),
    "a class": (
        "class PythonPredictor:\n    def __init__(self, config):\n        self.says = config['says']\n"
        "    def predict(self, payload):\n        return self.says + payload['url']\n"
    ),
    "a class that asks for all": (
        "class PythonPredictor:\n    def __init__(self, config):\n        self.says = config['says']\n"
        "    def predict(self, headers, payload, query_params):\n        return self.says + payload['url']\n"
        "    def post_predict(self, response, payload):\n        assert response\n"
    ),
    "a handler": (
        "class Handler:\n    def __init__(self, config):\n        self.says = config['says']\n"
        "    def handle_post(self, payload):\n        return self.says + payload['url']\n"
    ),
    "a handler with a callback": (
        "class Handler:\n    def __init__(self, config):\n        self.says = config['says']\n"
        "    def handle_post(self, payload):\n        return self.says + payload['url'], lambda: None\n"
    ),
    "an async handler": (
        "class Handler:\n    def __init__(self, config):\n        self.says = config['says']\n"
        "    def handle_async(self, payload, request_id):\n"
        "        return self.says + payload['url'][:len(request_id)]\n"
    ),
}


@pytest.mark.parametrize("generation", GENERATIONS)
def test_a_request_is_answered_whatever_generation_the_predictor_is_of(spec, generation):
    predictor = load(spec(GENERATIONS[generation], kind="realtime", config={"says": "hot"}))

    assert predictor.predict([{"url": "dog"}, {"url": "cat"}]) == ["hotdog", "hotcat"]


def test_server_side_batching_gives_lists(spec):
    code = (
        "class PythonPredictor:\n    def predict(self, payload, headers):\n"
        "        assert headers == [{}] * len(payload)\n        return [each['url'] for each in payload]\n"
    )
    predictor = load(spec(code, kind="realtime", in_lists=True))

    assert predictor.predict([{"url": "dog"}, {"url": "cat"}]) == ["dog", "cat"]


def test_a_header_is_found_by_its_name_in_any_case(spec):
    code = (
        "class PythonPredictor:\n    def predict(self, headers, query_params):\n"
        "        assert headers == {'x-user': 'Ann'} and dict(headers) == {'x-user': 'Ann'}\n"
        "        assert 'X-USER' in headers and 'x-none' not in headers and headers.get('X-None', 1) == 1\n"
        "        return [headers['X-User'], headers.get('x-User'), query_params]\n"
    )
    predictor = load(spec(code, kind="realtime"))

    [answer] = predictor.predict([Request({}, "application/json", {"x-user": "Ann"}, "a=1&b=&a=2")])

    assert answer == ["Ann", "Ann", {"a": "2", "b": ""}]


def test_one_bad_request_fails_alone(spec):
    predictor = load(spec(GENERATIONS["a class"], kind="realtime", config={"says": "hot"}))

    good, bad = predictor.predict([{"url": "dog"}, {}])

    assert good == "hotdog"
    assert isinstance(bad, Raised)
    assert isinstance(bad.error, KeyError)


def test_a_response_object_is_its_body():
    class Response:
        body = b"hotdog"
        status_code = 200

    assert plain(Response()) == b"hotdog"
    assert plain(("a", "b")) == ("a", "b")


def test_a_predictor_finds_its_files_its_variables_and_its_imports_as_with_cortex(spec, tmp_path):
    (tmp_path / "values.json").write_text('"hot"')
    (tmp_path / ".env").write_text("# note\nANIMAL='dog'\nexport COLOUR=red\nnonsense\n")
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "helping.py").write_text("MARK = '!'\n")
    predictor = load(
        spec(
            "import json, os, helping\n"
            "from cortex_internal.lib.log import logger as cortex_logger\n"
            "class Handler:\n"
            "    def handle_post(self):\n"
            "        cortex_logger.info('said', extra={'a': 1})\n"
            "        env = os.environ\n"
            "        with open('values.json') as file:\n            values = json.load(file)\n"
            "        return values + env['ANIMAL'] + env['COLOUR'] + helping.MARK\n",
            kind="realtime",
            python_path=str(tmp_path / "lib"),
            env={"COLOUR": "blue"},
        )
    )

    assert predictor.predict([None]) == ["hotdogblue!"]


@pytest.mark.parametrize(
    ("kind", "code", "said"),
    [
        ("batch", "class TensorFlowPredictor: ...\n", "TensorFlowPredictor works with a client"),
        ("realtime", "class ONNXPredictor: ...\n", "load the model in a PythonPredictor instead"),
        (
            "batch",
            "def predict(sample, metadata): ...\n",
            "has none of the classes PythonPredictor, Handler, Predictor",
        ),
        ("realtime", "class Model: ...\n", "and no function predict"),
        ("batch", "class PythonPredictor: ...\n", "has no method predict"),
        ("realtime", "class Handler:\n    def handle_get(self): ...\n", "nor handle_post or handle_async"),
        (
            "batch",
            "class PythonPredictor:\n    def __init__(self, tensorflow_client): ...\n    def predict(self): ...\n",
            "takes tensorflow_client, a client of TensorFlow Serving",
        ),
        (
            "batch",
            "class PythonPredictor:\n    def predict(self, data): ...\n",
            "takes 'data', which Cortex does not offer it either: it may take payload, batch_id",
        ),
    ],
)
def test_what_cannot_be_run_says_why(spec, kind, code, said):
    with pytest.raises(PredictorUnavailable, match=r"predictor predictor\.py") as caught:
        load(spec(code, kind=kind))
    assert said in str(caught.value)
