import json
from pathlib import Path

import pytest

from stream_infer.configuration import json_schema, load_settings
from stream_infer.errors import ConfigError

ONE_API = """\
apis:
  - name: image-classifier
    predictor: {type: native, target: "./model.py:Model"}
    batching:
      max_batch_size: 8
"""


@pytest.fixture
def write(tmp_path):
    def write(text):
        file = tmp_path / "stream-infer.yaml"
        file.write_text(text)
        return file

    return write


def refused(file, environ=None, overrides=None):
    with pytest.raises(ConfigError) as caught:
        load_settings(file, environ or {}, overrides or {})
    return str(caught.value)


def test_the_file_then_the_environment_then_the_flags_decide(write):
    file = write("kafka: {bootstrap_servers: a:1, topic_prefix: x}\njobs: {partitions: 2}\n")

    settings = load_settings(
        file,
        {"STREAM_INFER__KAFKA__BOOTSTRAP_SERVERS": "b:2", "STREAM_INFER__JOBS__PARTITIONS": "3", "OTHER__KAFKA": "1"},
        {"jobs.partitions": 5},
    )

    assert settings.kafka.bootstrap_servers == "b:2"
    assert settings.kafka.topic_prefix == "x"
    assert settings.jobs.partitions == 5


def test_an_empty_file_means_the_defaults(write):
    assert load_settings(write("# nothing yet\n"), {}).apis == []


@pytest.mark.parametrize("name", ["IMAGE_CLASSIFIER", "image-classifier", "0"])
def test_the_environment_names_an_api_by_its_name_or_its_index(write, name):
    settings = load_settings(write(ONE_API), {f"STREAM_INFER__APIS__{name}__BATCHING__MAX_BATCH_SIZE": "3"})

    assert settings.apis[0].batching.max_batch_size == 3


def test_the_size_of_a_micro_batch_may_be_left_to_be_found(write):
    settings = load_settings(write(ONE_API.replace("max_batch_size: 8", "max_batch_size: auto")), {})

    assert settings.apis[0].batching.max_batch_size == "auto"


@pytest.mark.parametrize("size", ["0", "-1", "1.5", "true", "automatic"])
def test_a_size_that_is_none_has_one_complaint(write, size):
    said = refused(write(ONE_API.replace("max_batch_size: 8", f"max_batch_size: {size}")))

    assert said.count("max_batch_size") == 1
    assert "is neither a whole number from 1 on nor auto" in said


def test_a_value_of_the_environment_is_yaml_but_for_what_has_to_be_text(write):
    settings = load_settings(
        write(ONE_API),
        {
            "STREAM_INFER__KAFKA__SECURITY": "{protocol: SASL_SSL, sasl_mechanism: PLAIN, username: u}",
            "STREAM_INFER__KAFKA__SECURITY__PASSWORD": "0123",
            "STREAM_INFER__FETCH__ALLOW_PRIVATE_ADDRESSES": "true",
            "STREAM_INFER__FETCH__ALLOWED_S3_PREFIXES": "[s3://a/b, s3://c]",
            "STREAM_INFER__APIS__IMAGE_CLASSIFIER__PREDICTOR__CONFIG__TOP_K": "5",
        },
    )

    assert settings.kafka.security.password == "0123"
    assert settings.fetch.allow_private_addresses is True
    assert settings.fetch.allowed_s3_prefixes == ["s3://a/b", "s3://c"]
    assert settings.apis[0].predictor.config == {"top_k": 5}


def test_an_unknown_key_names_the_nearest_known_one_and_the_api_and_the_line(write):
    file = write(ONE_API.replace("max_batch_size", "max_batch_sise"))

    assert refused(file) == (
        f"{file}:5: apis.image-classifier.batching.max_batch_sise: unknown key; did you mean max_batch_size?"
    )


def test_a_key_that_belongs_one_level_deeper_is_pointed_there(write):
    file = write(ONE_API + "    max_wait_ms: 5\n")

    assert refused(file).endswith("image-classifier.max_wait_ms: unknown key; did you mean batching.max_wait_ms?")


def test_an_unknown_variable_of_the_environment_is_an_error_that_names_it(write):
    said = refused(
        write(ONE_API), {"STREAM_INFER__KAFKA__TOPIC_PREFX": "x", "STREAM_INFER__APIS__NOPE__PARTITIONS": "1"}
    )

    assert (
        "kafka.topic_prefx: unknown key; did you mean topic_prefix? (set by STREAM_INFER__KAFKA__TOPIC_PREFX)" in said
    )
    assert "STREAM_INFER__APIS__NOPE__PARTITIONS: apis has no entry named 'nope'" in said


def test_several_errors_are_listed_line_by_line(write):
    file = write("jobs: {partitions: 0}\ngateway: {listen: localhost}\nstore: bucket\n")

    assert refused(file).splitlines() == [
        f"{file}:3: store: 'bucket' is not s3://bucket/prefix, file:///path or the address of a plugin's store",
        f"{file}:2: gateway.listen: 'localhost' is not HOST:PORT, such as 127.0.0.1:8080",
        f"{file}:1: jobs.partitions: input should be greater than or equal to 1, not 0",
    ]


@pytest.mark.parametrize(
    ("predictor", "said"),
    [
        ("{type: torchvison, model: m}", "predictor.type: 'torchvison' is unknown; did you mean torchvision?"),
        ("{model: m}", "predictor.type: is missing: use cortex or native or plugin or sagemaker or torchvision"),
        ("{type: native}", "predictor.target: is missing"),
        ("{type: native, target: nothing}", "predictor.target: 'nothing' is not path/to/file.py:ClassName or"),
    ],
)
def test_a_predictor_that_makes_no_sense_says_what_would(write, predictor, said):
    assert f"apis.a.{said}" in refused(write(f"apis: [{{name: a, predictor: {predictor}}}]\n"))


def test_an_api_without_a_name_is_called_by_its_index(write):
    assert "apis.0.name: is missing" in refused(write("apis: [{predictor: {type: native, target: 'm:C'}}]\n"))


def test_two_apis_of_one_name_are_refused(write):
    api = "{name: a, predictor: {type: native, target: 'm:C'}}"

    assert "apis: two APIs are named 'a'; names are unique" in refused(write(f"apis: [{api}, {api}]\n"))


def test_a_secret_is_not_repeated_in_an_error(write):
    assert "hunter2" not in refused(write("kafka: {security: {password: [hunter2]}}\n"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("kafka: {a: 1\nb: [\n", ":2:2: this is not YAML: "),
        ("kafka:\n\ttopic_prefix: x\n", ":2:1: this is not YAML: "),
        ("jobs: {}\njobs: {}\n", ":2:1: jobs is given twice"),
        ("- 1\n", ":1:1: the file holds a list, not keys and values"),
        ("a: !!python/object:os.system {}\n", ":1:4: this is not YAML: could not determine a constructor"),
        ("a: 2024-99-99\n", ":1:1: this is not YAML: month must be in 1..12"),
    ],
)
def test_a_file_that_is_no_mapping_says_line_and_column(write, text, said):
    file = write(text)

    assert refused(file).startswith(f"{file}{said}")


def test_a_file_that_is_not_there_says_where_it_was_looked_for_and_what_to_do(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    assert refused(None) == (
        f"there is no configuration file {tmp_path}/stream-infer.yaml. Write one there, or name another with -f FILE."
    )
    assert refused(Path("else.yaml")) == f"there is no configuration file {tmp_path}/else.yaml. Is the path right?"


def test_relative_paths_are_looked_up_from_the_files_folder(write, tmp_path, monkeypatch):
    monkeypatch.chdir("/")
    file = write("""\
state_dir: state
store: file://./my results
fetch: {allowed_directories: [pictures, /srv]}
apis:
  - {name: a, predictor: {type: native, target: "./model.py:Model"}}
  - {name: b, predictor: {type: native, target: "package.module:Model"}}
  - {name: c, predictor: {type: torchvision, model: m, weights: weights.pth}}
  - {name: d, predictor: {type: torchvision, model: m, weights: IMAGENET1K_V1}}
  - {name: e, predictor: {type: torchvision, model: m, weights: package://name/w.pth}}
  - {name: f, predictor: {type: torchvision, model: m, config: {labels: names.txt, factory: "own.py:make", top_k: 3}}}
""")

    settings = load_settings(file, {})

    assert settings.state_dir == tmp_path / "state"
    assert settings.store == f"file://{tmp_path}/my%20results"
    assert settings.fetch.allowed_directories == [tmp_path / "pictures", Path("/srv")]
    assert [api.predictor.target for api in settings.apis[:2]] == [f"{tmp_path}/model.py:Model", "package.module:Model"]
    assert settings.apis[5].predictor.config == {
        "labels": f"{tmp_path}/names.txt",
        "factory": f"{tmp_path}/own.py:make",
        "top_k": 3,
    }
    assert [api.predictor.weights for api in settings.apis[2:5]] == [
        f"{tmp_path}/weights.pth",
        "IMAGENET1K_V1",
        "package://name/w.pth",
    ]


@pytest.mark.parametrize("store", ["file:///var/results", "s3://bucket/prefix"])
def test_a_store_that_is_absolute_stays_as_it_is(write, store):
    assert load_settings(write(f"store: {store}\n"), {}).store == store


def test_the_published_json_schema_is_that_of_the_code():
    published = Path(__file__).parents[2] / "docs" / "stream-infer.schema.json"

    assert json.loads(published.read_text()) == json_schema(), (
        "run: python -m stream_infer.configuration > docs/stream-infer.schema.json"
    )


def test_a_cortex_predictor_is_seen_from_its_project(write):
    predictor = "{type: cortex, path: app/predictor.py, project: iris, python_path: lib}"
    file = write(f"apis: [{{name: a, predictor: {predictor}}}]\n")

    found = load_settings(file, {}).apis[0].predictor

    assert found.path == str(file.parent / "iris/app/predictor.py")
    assert found.python_path == file.parent / "iris/lib"
    assert found.is_job_scoped
    assert found.on_job_complete
