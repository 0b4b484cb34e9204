"""Models out of MLflow: by its folder's layout alone, and by its real client."""

import shutil
import sys
import warnings
from pathlib import Path

import pytest

from connectors.models import fetch_model
from connectors.models import mlflow as models_mlflow
from stream_infer.errors import PredictorUnavailable
from tests.support.mlruns import MlRuns, make_mlruns


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> MlRuns:
    """An mlruns folder as MLflow makes it, with one run and two versions of a model, and the run's id."""
    return make_mlruns(tmp_path_factory.mktemp("mlflow"))


@pytest.fixture
def no_client(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)


def test_a_folders_layout_is_enough(store, no_client, tmp_path):
    mlruns, run = store
    tracking = str(mlruns)

    folder = fetch_model(f"runs:/{run}/model", tmp_path, tracking_uri=tracking)
    file = fetch_model(f"runs:/{run}/model/net.pt", tmp_path, tracking_uri=mlruns.as_uri())
    versions = [
        fetch_model(f"models:/net{version}", tmp_path, tracking_uri=tracking)
        for version in ("/1", "/2", "/latest", "@champion")
    ]

    assert folder == next(mlruns.glob(f"*/{run}/artifacts/model"))
    assert file == folder / "net.pt"
    assert versions == [folder] * 4
    assert fetch_model(str(folder / "net.pt"), tmp_path).read_text() == "weights"
    assert list(tmp_path.iterdir()) == []


def test_runs_are_found_in_the_mlruns_of_where_one_is(store, no_client, tmp_path, monkeypatch):
    mlruns, run = store
    monkeypatch.chdir(mlruns.parent)

    assert fetch_model(f"runs:/{run}/model", tmp_path).name == "model"
    with pytest.raises(PredictorUnavailable, match=r"needs MLflow's client: pip install 'stream-infer\[mlflow\]'"):
        fetch_model("models:/net/1", tmp_path)


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("runs:/abc/model", "is not in"),
        ("models:/net/7", "is not in"),
        ("models:/net@nobody", "is not in"),
        ("models:/other/latest", "is not in"),
        ("models:/net", "names no version"),
        ("models:/net/Production", "names no version"),
        ("runs:/*/model", "is no address of a model"),
        ("runs:/abc/../../secret", "is no address of a model"),
        ("models:/../1", "is no address of a model"),
    ],
)
def test_what_is_not_there_is_said(uri, said, store, no_client, tmp_path):
    with pytest.raises(PredictorUnavailable, match=said):
        fetch_model(uri, tmp_path, tracking_uri=str(store[0]))


@pytest.fixture
def by_client(store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Asks the real client of a store that is not known to be a folder, as it asks a server."""
    for name, value in store.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its own deprecations
        yield store.run


def test_the_client_copies_what_it_is_asked_for_once(by_client, store, tmp_path):
    cache = tmp_path / "cache"
    folder = fetch_model(f"runs:/{by_client}/model", cache)
    file = fetch_model(f"runs:/{by_client}/model/net.pt", cache)
    versions = [fetch_model(f"models:/net{version}", cache) for version in ("/1", "/2", "/latest", "@champion")]

    assert all(path.is_relative_to(cache) for path in (folder, file, *versions))
    assert (folder.name, file.name) == ("model", "net.pt")
    assert sorted(path.name for path in folder.iterdir()) == ["MLmodel", "net.pt"]
    assert file.read_text() == "weights"
    assert {path.name for path in versions} == {"net"}
    assert all((path / "net.pt").read_text() == "weights" for path in versions)
    made = folder.stat().st_mtime_ns
    assert fetch_model(f"runs:/{by_client}/model", cache) == folder
    assert folder.stat().st_mtime_ns == made


@pytest.mark.parametrize("uri", ["runs:/nobody/model", "models:/nobody/1", "models:/net/7", "models:/net@nobody"])
def test_what_the_client_does_not_find_is_said_and_leaves_nothing(uri, by_client, tmp_path):
    with pytest.raises(PredictorUnavailable, match=r"cannot be fetched: .*look at its spelling"):
        fetch_model(uri, tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


def test_a_model_above_the_limit_is_refused_and_leaves_nothing(by_client, tmp_path):
    cache = tmp_path / "cache"

    with pytest.raises(PredictorUnavailable, match=r"bytes, the limit is 5: raise models\.max_bytes"):
        fetch_model(f"runs:/{by_client}/model", cache, max_bytes=5)

    assert [path.name for path in cache.rglob("*") if path.is_file()] == ["lock"]


def test_a_run_that_goes_on_is_not_taken_for_what_it_was(monkeypatch):
    class Client:
        def get_run(self, run):
            return type("Run", (), {"info": type("Info", (), {"end_time": None})})

    first, second = (models_mlflow._version("runs:/abc/model", Client()) for _ in range(2))

    assert first != second


def test_a_store_that_was_moved_is_found_by_its_layout(store, no_client, tmp_path):
    mlruns, run = store
    shutil.copytree(mlruns, tmp_path / "elsewhere" / "mlruns")

    found = fetch_model(f"runs:/{run}/model", tmp_path, tracking_uri=str(tmp_path / "elsewhere" / "mlruns"))

    assert found.is_relative_to(tmp_path / "elsewhere")
