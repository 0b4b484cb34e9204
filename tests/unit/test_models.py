import threading
from pathlib import Path

import pytest

from connectors.models import fetch_model, is_model_uri
from connectors.models.cache import Copy, keep
from stream_infer.cli.composition import with_local_model
from stream_infer.configuration import load_settings
from stream_infer.engine.configured import predictor_spec
from stream_infer.errors import ConfigError, PredictorUnavailable
from stream_infer.predictors.loader import load
from stream_infer.predictors.spec import PredictorSpec
from stream_infer.settings import Settings

COPY = Copy("s3://bucket/net.pt", "etag-1", "net.pt")


def writes(text):
    return lambda folder: (folder / "net.pt").write_text(text)


def test_a_path_is_used_where_it_lies(tmp_path):
    (tmp_path / "net.pt").write_text("weights")

    assert fetch_model(str(tmp_path / "net.pt"), tmp_path / "cache") == tmp_path / "net.pt"
    assert fetch_model((tmp_path / "net.pt").as_uri(), tmp_path / "cache") == tmp_path / "net.pt"
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("/nowhere/net.pt", "there is no model at /nowhere/net.pt"),
        ("file:///nowhere/net.pt", "there is no model at /nowhere/net.pt"),
        ("file://host/net.pt", "is not a file of this machine"),
        ("s3:///net.pt", "is not an S3 address"),
        ("ftp://user:secret@host/net.pt", "ftp://host/net.pt is no address of a model"),
    ],
)
def test_an_address_of_no_model_is_refused_with_what_to_do(uri, said, tmp_path):
    with pytest.raises(PredictorUnavailable) as caught:
        fetch_model(uri, tmp_path)

    assert said in str(caught.value)
    assert "secret" not in str(caught.value)


def test_what_is_kept_is_made_once_and_anew_for_another_version(tmp_path):
    made = []

    def make(folder: Path) -> None:
        made.append(folder)
        writes(f"weights {len(made)}")(folder)

    first = keep(tmp_path, COPY, make)
    again = keep(tmp_path, COPY, make)
    second = keep(tmp_path, Copy(COPY.uri, "etag-2", COPY.name), make)

    assert first == again
    assert first.read_text() == "weights 1"
    assert second.read_text() == "weights 2"
    assert first.name == second.name == "net.pt"


def test_what_could_not_be_made_leaves_nothing_and_is_made_the_next_time(tmp_path):
    def fail(folder: Path) -> None:
        (folder / "net.pt").write_text("half")
        raise PredictorUnavailable("S3 is gone")

    with pytest.raises(PredictorUnavailable, match="S3 is gone"):
        keep(tmp_path, COPY, fail)

    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["lock"]
    assert keep(tmp_path, COPY, writes("whole")).read_text() == "whole"


def test_what_a_killed_process_has_left_half_made_is_removed(tmp_path):
    home = keep(tmp_path, COPY, writes("first")).parents[1]
    (home / "new-killed").mkdir()
    (home / "new-killed" / "net.pt").write_text("half")

    keep(tmp_path, Copy(COPY.uri, "etag-2", COPY.name), writes("second"))

    assert not (home / "new-killed").exists()


def test_many_at_a_time_make_it_once(tmp_path):
    made = []
    gate = threading.Barrier(8)

    def make(folder: Path) -> None:
        made.append(folder)
        writes("weights")(folder)

    def ask() -> None:
        gate.wait()
        assert keep(tmp_path, COPY, make).read_text() == "weights"

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(made) == 1


def test_a_disk_that_does_not_take_it_is_named(tmp_path):
    (tmp_path / "cache").write_text("a file where the folder should be")

    with pytest.raises(PredictorUnavailable, match=r"cannot be kept below .*cache.*set state_dir"):
        keep(tmp_path / "cache", COPY, writes("weights"))


@pytest.mark.parametrize("place", ["DEFAULT", "IMAGENET1K_V2", "package://name/net.pt", "./net.pt", "/models/net.pt"])
def test_what_is_no_address_stays_as_it_is(place):
    spec = PredictorSpec("torchvision", "resnet50", weights=place)

    assert not is_model_uri(place)
    assert with_local_model(Settings(), spec) == spec


def test_an_address_becomes_a_path_before_an_engine_is_made(tmp_path):
    (tmp_path / "net.pt").write_text("weights")
    uri = (tmp_path / "net.pt").as_uri()

    native = with_local_model(Settings(), PredictorSpec("native", "model.py:Model", weights=uri))
    packed = with_local_model(Settings(), PredictorSpec("sagemaker", uri))

    assert native.weights == str(tmp_path / "net.pt")
    assert packed.target == str(tmp_path / "net.pt")


def test_a_class_whose_model_is_not_there_is_not_even_loaded(tmp_path):
    with pytest.raises(PredictorUnavailable, match="there is no model at"):
        with_local_model(Settings(), PredictorSpec("native", "model.py:Model", weights=str(tmp_path / "none.pt")))


def test_a_native_class_finds_its_model_in_its_config(tmp_path):
    (tmp_path / "model.py").write_text(
        "class Model:\n"
        "    def __init__(self, config):\n"
        "        self.config = config\n"
        "    def predict(self, items): ...\n"
    )

    spec = PredictorSpec("native", "model.py:Model", {"a": 1}, weights="/models/net.pt", directory=str(tmp_path))

    assert load(spec).config == {"a": 1, "model": "/models/net.pt"}


YAML = "apis:\n  - {name: a, predictor: {type: native, target: 'm.py:M', model: %s}}\n"


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("models/net.pt", "{}/models/net.pt"),
        ("s3://bucket/net.pt", "s3://bucket/net.pt"),
        ("runs:/abc/model", "runs:/abc/model"),
    ],
)
def test_a_relative_model_is_seen_from_the_files_folder_and_an_address_stays(written, meant, tmp_path):
    file = tmp_path / "stream-infer.yaml"
    file.write_text(YAML % written)

    assert predictor_spec(load_settings(file, {}).apis[0].predictor).weights == meant.format(tmp_path)


def test_two_models_for_one_class_are_refused(tmp_path):
    file = tmp_path / "stream-infer.yaml"
    file.write_text((YAML % "a.pt").replace("}}", ", config: {model: b.pt}}}"))

    with pytest.raises(ConfigError, match=r"config\.model and model are both set"):
        load_settings(file, {})
