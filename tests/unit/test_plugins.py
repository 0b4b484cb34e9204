"""What other packages add is found, and what is wrong with one of them is said in a sentence."""

from pathlib import Path

import pytest

from connectors.formats import object_formats
from connectors.sources.plugin import open_plugin
from connectors.stores import open_store
from stream_infer import plugins
from stream_infer.cli.app import main
from stream_infer.engine.configured import predictor_spec
from stream_infer.errors import ConfigError, PredictorUnavailable, SourceError
from stream_infer.gateway.source_policy import check_source
from stream_infer.gateway.submission import check_format
from stream_infer.http.problems import Problem
from stream_infer.jobs.spec import JobSpec
from stream_infer.plugins import Group
from stream_infer.predictor_settings import PluginPredictor
from stream_infer.predictors.loader import load
from stream_infer.results import ResultFormat
from stream_infer.settings import ApiSettings, FetchSettings
from tests.support.plugin import add, install
from tests.support.settings import predictor

SOURCES = "stream_infer.sources"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


@pytest.fixture
def shelf(folder: Path) -> Path:
    return install(folder)


def test_all_that_a_package_adds_is_listed_without_importing_it(shelf: Path) -> None:
    (shelf / "stream_infer_shelf" / "words.py").write_text("raise SystemExit")

    found = [
        (plugin.group.one, plugin.name) for plugin in plugins.installed() if plugin.package == "stream-infer-shelf"
    ]

    assert found == [("source", "sqlite"), ("store", "shelf"), ("format", "jsonl.xz"), ("predictor", "word-count")]


def test_the_command_lists_them(shelf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["plugins"])

    assert ended.value.code == 0
    said = capsys.readouterr().out
    assert "stream-infer-shelf 1.0" in said
    assert "stream_infer_shelf.words:WordCount" in said


def test_a_name_that_nobody_adds_is_told_with_the_one_that_was_meant(shelf: Path) -> None:
    with pytest.raises(ConfigError, match="no source plugin is named 'sqlit'; did you mean sqlite"):
        plugins.load(Group.SOURCES, "sqlit")


def test_without_any_package_the_message_says_what_is_needed(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"no package here has an entry point of stream_infer\.stores"):
        plugins.load(Group.STORES, "gs")


def test_one_name_in_two_packages_is_refused(folder: Path) -> None:
    add(folder, "one", "1", {SOURCES: {"same": "one:Source"}})
    add(folder, "two", "2", {SOURCES: {"same": "two:Source"}})

    with pytest.raises(ConfigError, match="'same' is in one 1 and two 2: uninstall all but one"):
        plugins.load(Group.SOURCES, "same")


def test_a_package_that_cannot_be_imported_is_named(folder: Path) -> None:
    add(folder, "broken", "3", {SOURCES: {"gone": "stream_infer_no_such_module:Source"}})

    with pytest.raises(ConfigError, match="'gone' cannot be imported: stream_infer_no_such_module:Source of broken 3"):
        plugins.load(Group.SOURCES, "gone")


def test_what_cannot_be_called_makes_nothing(folder: Path) -> None:
    add(folder, "odd", "1", {SOURCES: {"odd": "sys:path"}})

    with pytest.raises(ConfigError, match="sys:path, which cannot be called"):
        plugins.load(Group.SOURCES, "odd")


def test_a_store_is_found_by_its_scheme(shelf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHELVES", str(shelf / "shelves"))

    assert open_store("shelf://big/models").uri("a/b") == "shelf://big/models/a/b"


def test_a_store_that_refuses_its_address_says_so(shelf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SHELVES", raising=False)

    with pytest.raises(ConfigError, match="the store plugin 'shelf' refuses shelf://big/models: KeyError: 'SHELVES'"):
        open_store("shelf://big/models")


def test_a_store_of_nobody_is_refused(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"neither file:///absolute/path nor s3://bucket/prefix, and no package"):
        open_store("gs://bucket/models")


@pytest.mark.parametrize(
    ("config", "said"), [({}, "KeyError: 'file'"), ({"file": "/x.db", "table": "a; b"}, "no table's name")]
)
def test_a_source_that_refuses_its_config_is_the_jobs_fault(shelf: Path, config: dict[str, str], said: str) -> None:
    with pytest.raises(SourceError, match=said):
        open_plugin("sqlite", config)


def test_a_fault_in_a_source_ends_its_job_and_nothing_else(folder: Path) -> None:
    (folder / "falls_over.py").write_text(
        "class Source:\n"
        "    def __init__(self, config):\n"
        "        pass\n"
        "    def read(self, after):\n"
        "        yield from ()\n"
        "        raise RuntimeError('no more paper')\n"
    )
    add(folder, "falls-over", "1", {SOURCES: {"paper": "falls_over:Source"}})

    with pytest.raises(SourceError, match="the source plugin 'paper' failed at its start: RuntimeError: no more paper"):
        list(open_plugin("paper", {}).read(None))


@pytest.mark.parametrize(
    ("item", "said"),
    [
        ("'one'", "it gave a str, and gives SourceItems"),
        ("SourceItem(b'1', 'x', '1')", "payload is a Payload"),
        ("SourceItem(Payload('1'), 'x', '1')", "its data are bytes"),
        ("SourceItem(Payload(b'1'), 'x', 1)", "cursor is text, and is 1"),
        ("SourceItem(Payload(b'1'), None, '1')", "source is text"),
        ("SourceItem(Payload(b'1'), 'x', '1', custom_id=0)", "custom_id is text"),
        ("SourceItem(Payload(b'1'), 'x', '1', key='k')", "key is bytes or None"),
        ("SourceItem(Payload(b'1'), '\\udcff', '1')", "surrogates not allowed"),
    ],
)
def test_an_item_that_nobody_could_publish_ends_its_job_and_no_intake(
    folder: Path, monkeypatch: pytest.MonkeyPatch, item: str, said: str
) -> None:
    (folder / "gives.py").write_text(
        "from stream_infer.ports import SourceItem\n"
        "from stream_infer.records import Payload\n"
        "class Source:\n"
        "    def __init__(self, config):\n"
        "        pass\n"
        "    def read(self, after):\n"
        f"        yield {item}\n"
    )
    add(folder, "gives", "1", {SOURCES: {"gives": "gives:Source"}})

    with pytest.raises(SourceError, match=said):
        list(open_plugin("gives", {}).read(None))


def test_a_gateway_refuses_a_job_whose_source_nobody_has_installed(shelf: Path) -> None:
    with pytest.raises(Problem, match="/plugin/name: sqlit is no source that is installed; did you mean sqlite"):
        check_source(JobSpec.model_validate({"plugin": {"name": "sqlit"}}), FetchSettings())


def test_a_gateway_refuses_a_format_that_nobody_has_installed() -> None:
    api = ApiSettings(name="a", predictor=predictor("behaving.py:Echo"))
    spec = JobSpec.model_validate({"item_list": {"items": [1]}, "results": {"format": "parqet"}})

    with pytest.raises(Problem, match="/results/format: 'parqet' is no format that is installed here"):
        check_format(spec, api, {"parquet": None})  # type: ignore[dict-item]


def test_a_format_that_cannot_be_made_is_named(folder: Path) -> None:
    (folder / "broken.py").write_text("class Format:\n    def __init__(self):\n        raise OSError('no codec')\n")
    add(folder, "broken", "1", {"stream_infer.formats": {"arc": "broken:Format"}})

    with pytest.raises(ConfigError, match="the format plugin 'arc' cannot be made: OSError: no codec"):
        object_formats()


def test_a_format_of_the_name_of_one_that_is_built_in_is_not_asked(folder: Path) -> None:
    """Also where that one is not installed: parquet without pyarrow says what to install."""
    built_in = object_formats()
    names = {name.value: "nowhere:Format" for name in ResultFormat}
    add(folder, "usurper", "1", {"stream_infer.formats": names})

    assert object_formats().keys() == built_in.keys()


def test_a_predictor_is_made_with_its_config(shelf: Path) -> None:
    made = load(predictor_spec(PluginPredictor(name="word-count", config={"field": "review"})))

    assert made.predict([{"review": "not bad at all"}]) == [{"words": 4}]


def test_a_predictor_that_is_not_installed_is_told_where_it_is_loaded(shelf: Path) -> None:
    with pytest.raises(
        PredictorUnavailable, match="no predictor plugin is named 'word_counts'; did you mean word-count"
    ):
        load(predictor_spec(PluginPredictor(name="word_counts")))
