"""The commands about jobs, without a gateway: arguments in, words out."""

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml
from rich.console import Console

from stream_infer.cli.app import app, main
from stream_infer.cli.following import looks
from stream_infer.cli.job_source import Choice, config_of, item_of, lines_that_allow, source_of
from stream_infer.cli.job_tables import (
    counted,
    dead_letter_details,
    job_details,
    job_table,
    plain,
    planned_item,
    result_table,
    short_source,
)
from stream_infer.cli.results import write_lines
from stream_infer.clients.call import Call
from stream_infer.clients.gateway import Gateway
from stream_infer.clients.progress import progress_line
from stream_infer.clients.waiting import PATIENCE_S
from stream_infer.dead_letters import ErrorHeader
from stream_infer.errors import ServiceUnavailable, UsageError
from stream_infer.gateway.dead_letters.bodies import DeadLetterDetail, HeaderBody, Place
from stream_infer.gateway.representations import JobBody
from stream_infer.jobs.spec import JobSpec
from stream_infer.settings import Settings
from tests.support.job_bodies import job


def rendered(thing: Any) -> str:
    out = io.StringIO()
    Console(file=out, width=160).print(thing)
    return out.getvalue()


def test_a_gateway_that_is_away_for_a_while_does_not_end_the_watching() -> None:
    clock = iter(range(10_000))
    answers: Iterator[Any] = iter([1, *[ServiceUnavailable("away")] * 5, 2])

    def look() -> int:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return int(answer)

    found = looks(look, 1.0, sleep=lambda _: None, now=lambda: next(clock))
    assert [next(found), next(found)] == [1, 2]

    def away() -> int:
        raise ServiceUnavailable("away")

    with pytest.raises(ServiceUnavailable):
        next(looks(away, 1.0, sleep=lambda _: None, now=lambda: next(clock)))
    assert next(clock) >= PATIENCE_S


def test_items_are_json_or_plain_text_but_never_broken_json() -> None:
    assert [item_of(text) for text in ('{"a": 1}', "3", "hello world", "")] == [{"a": 1}, 3, "hello world", ""]
    for broken in ('{"a": ', "[1,", '"x'):
        with pytest.raises(UsageError, match="is not JSON"):
            item_of(broken)
    assert config_of(["top=3", "name=x", 'a={"b": [1]}', "e="]) == {"top": 3, "name": "x", "a": {"b": [1]}, "e": ""}
    with pytest.raises(UsageError, match="KEY=VALUE"):
        config_of(["top"])


def sent(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> dict[str, Any]:
    """The spec that `submit` asks the gateway for."""
    asked: list[dict[str, Any]] = []

    def keep(_gateway: Gateway, call: Call[JobBody]) -> JobBody:
        assert isinstance(call.request.body, bytes)
        asked.append(json.loads(call.request.body))
        return job()

    monkeypatch.setattr(Gateway, "ask", keep)
    with pytest.raises(SystemExit) as ended:
        main(["submit", "echo", *arguments, "--gateway", "http://127.0.0.1:1"])
    assert ended.value.code == 0
    [spec] = asked
    JobSpec.model_validate(spec)
    return spec


def test_what_is_said_of_a_job_is_in_its_spec_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    source = {"s3_prefix": {"uri": "s3://b/in/", "includes": [], "excludes": []}}
    prefix = ("--s3-prefix", "s3://b/in/")

    assert sent(monkeypatch, *prefix) == source | {"config": {}}
    assert sent(monkeypatch, *prefix, "--batch-size", "16", "--workers", "2", "--timeout", "9") == source | {
        "config": {}, "batch_size": 16, "workers": 2, "timeout": 9.0,
    }  # fmt: skip
    assert sent(monkeypatch, *prefix, "--assemble", "line")["assemble"] == {"separator": "line"}
    assert sent(monkeypatch, *prefix, "--assemble-at", "s3://b/out")["assemble"] == {"output": "s3://b/out"}
    assert sent(monkeypatch, *prefix, "--assemble", "none", "--assemble-at", "out")["assemble"] == {
        "separator": "none", "output": f"{tmp_path.as_uri()}/out",
    }  # fmt: skip
    assert sent(monkeypatch, *prefix, "--no-join", "--format", "parquet")["results"] == {
        "format": "parquet", "join": "none",
    }  # fmt: skip


def test_a_job_has_one_source_and_local_paths_become_uris(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a b.jsonl").write_text("1\n")
    (tmp_path / "t.csv").write_text("a\n1\n")
    here = tmp_path.as_uri()
    globs = {"includes": ["*.png"], "excludes": ["x"]}
    for choice, spec in (
        (Choice(file="a b.jsonl"), {"jsonl": {"uri": (tmp_path / "a b.jsonl").as_uri()}}),
        (Choice(file="s3://b/k"), {"jsonl": {"uri": "s3://b/k"}}),
        (Choice(csv="t.csv"), {"csv": {"uri": f"{here}/t.csv"}}),
        (Choice(parquet="s3://b/t.parquet"), {"parquet": {"uri": "s3://b/t.parquet"}}),
        (Choice(requests="s3://b/r.jsonl"), {"requests": {"uri": "s3://b/r.jsonl"}}),
        (Choice(requests="a b.jsonl"), {"requests": {"uri": (tmp_path / "a b.jsonl").as_uri()}}),
        (Choice(tar="s3://b/p.tgz", includes=["*.png"], excludes=["x"]), {"tar": {"uri": "s3://b/p.tgz", **globs}}),
        (Choice(manifest="s3://b/m", gzip=True), {"manifest": {"uri": "s3://b/m", "compression": "gzip"}}),
        (
            Choice(s3_prefix="s3://b/", split_lines=True, content_type="text/csv", includes=["*.png"], excludes=["x"]),
            {"s3_prefix": {"uri": "s3://b/", **globs, "split": "line", "content_type": "text/csv"}},
        ),
        (Choice(directory=".", includes=["*.png"], excludes=["x"]), {"directory": {"path": here, **globs}}),
        (
            Choice(file_paths=["s3://b/", "s3://c"], includes=["*.png"], excludes=["x"]),
            {"file_path_lister": {"s3_paths": ["s3://b/", "s3://c"], **globs}},
        ),
        (
            Choice(delimited_files=["s3://b/"], includes=["*.png"], excludes=["x"]),
            {"delimited_files": {"s3_paths": ["s3://b/"], **globs}},
        ),
        (Choice(items=["1", "x"]), {"item_list": {"items": [1, "x"]}}),
    ):
        assert source_of(choice) == spec
        JobSpec.model_validate(spec)
    for choice, said in (
        (Choice(), "none of them"),
        (Choice(items=["1"], file="a b.jsonl"), "ITEM and --file"),
        (Choice(file="none.jsonl"), "is not there"),
        (Choice(directory="a b.jsonl"), "not a directory"),
        (Choice(items=["1"], includes=["*"]), "--include"),
        (Choice(requests="a b.jsonl", includes=["*"]), "this job has --requests"),
        (Choice(file="a b.jsonl", gzip=True), "--gzip .* this job has --file"),
    ):
        with pytest.raises(UsageError, match=said):
            source_of(choice)


def test_an_item_that_is_planned_shows_what_and_where_it_is() -> None:
    for line, shown in (
        ({"ordinal": 0, "item": "hello"}, "hello"),
        ({"ordinal": 0, "item": {"a": "ü"}}, '{"a": "ü"}'),
        ({"ordinal": 0, "source": "s3://b/k"}, "s3://b/k"),
        ({"ordinal": 0, "source": "s3://b/k", "item": "s3://b/k"}, "s3://b/k"),
        ({"ordinal": 0, "source": "s3://b/k#line=3", "item": 7}, "s3://b/k#line=3  7"),
        ({"ordinal": 0, "source": "s3://b/k#line=3", "error": "not JSON: x"}, "s3://b/k#line=3   not JSON: x"),
    ):
        assert planned_item(line) == shown
    assert len(planned_item({"ordinal": 0, "item": "x" * 1000})) == 121


@pytest.mark.parametrize(
    ("spec", "setting", "allowed"),
    [
        ({"jsonl": {"uri": "file:///data/a%20b/items.jsonl"}}, "allowed_directories", "/data/a b"),
        ({"requests": {"uri": "file:///data/requests.jsonl"}}, "allowed_directories", "/data"),
        ({"directory": {"path": "file:///data/pictures"}}, "allowed_directories", "/data/pictures"),
        ({"jsonl": {"uri": "s3://bucket/in/items.jsonl"}}, "allowed_s3_prefixes", "s3://bucket/in"),
        ({"s3_prefix": {"uri": "s3://bucket/in/2024-"}}, "allowed_s3_prefixes", "s3://bucket/in"),
        ({"file_path_lister": {"s3_paths": ["s3://bucket/in/"]}}, "allowed_s3_prefixes", "s3://bucket/in"),
    ],
)
def test_a_source_that_is_not_allowed_is_answered_with_the_lines_to_add(
    spec: dict[str, Any], setting: str, allowed: str
) -> None:
    lines = lines_that_allow(spec, f"x is below none of the allowed …: add its … to fetch.{setting}")
    assert lines is not None
    added = yaml.safe_load(lines.partition("\n\n")[2])
    assert added == {"fetch": {setting: [allowed]}}
    Settings.model_validate(added)
    assert lines_that_allow(spec, "x is no source") is None


def test_one_is_not_many() -> None:
    assert [counted(number, "item") for number in (0, 1, 2, 1000)] == ["0 items", "1 item", "2 items", "1,000 items"]
    assert progress_line(job(state="succeeded", is_final=True, enqueued=1, succeeded=1)) == "succeeded, 1/1 item"
    assert "(1 object, 334 bytes)" in rendered(job_details(job(objects=1, bytes=334)))


def test_an_inline_item_is_shown_by_its_number_and_any_other_by_its_place() -> None:
    assert short_source("file:///s/_submissions/ed9b.jsonl#line=3") == "item 3"
    assert short_source("file:///s/items.jsonl#line=3") == "file:///s/items.jsonl#line=3"
    assert short_source(None) == ""
    line = {"item_id": "i", "source": "s3://b/p/_submissions/j.jsonl#line=12", "output": 1}
    assert "item 12" in rendered(result_table([json.dumps(line).encode()]))


def test_a_dead_letter_says_everything_once() -> None:
    facts = {"stage": "predict", "exception": "E1", "message": "M1", "stacktrace": "S1"}
    headers = [
        *(HeaderBody(name=name, value="twice") for name in ErrorHeader if name is not ErrorHeader.CLASS_NAME),
        HeaderBody(name=ErrorHeader.CLASS_NAME, value="model.Shouter"),
        HeaderBody(name="their-own", value="kept"),
    ]
    letter = DeadLetterDetail(
        ref="0-0", item_id="i", attempt=1, timestamp=0.0, origin=Place(topic="t", partition=0, offset=0), worker="w",
        api_version="v", content_type="application/json", payload=1, payload_encoding="json", payload_bytes=1,
        headers=headers, **facts,
    )  # fmt: skip
    shown = rendered(dead_letter_details(letter))
    assert [fact for fact in facts.values() if shown.count(fact) != 1] == []
    assert "twice" not in shown
    assert "model.Shouter" in shown
    assert "kept" in shown
    assert "1 byte)" in shown


def test_the_help_names_arguments_as_the_pages_do() -> None:
    def commands(command: Any) -> Iterator[Any]:
        yield command
        for inner in getattr(command, "commands", {}).values():
            yield from commands(inner)

    for command in commands(typer.main.get_command(app)):
        text = command.get_help(command.make_context("x", [], resilient_parsing=True))
        assert [word for word in ("{", "[[", "<str", "<path", "<int", "<list") if word in text] == [], text


def test_what_strangers_wrote_cannot_command_the_terminal() -> None:
    assert "\x1b" not in plain("\x1b[2Jgone").plain
    line = json.dumps({"item_id": "[red]i[/red]\x1b]0;x\x07", "output": "[bold]\x1b[31m"}).encode()
    table = rendered(result_table([line]))
    assert "[red]i[/red]" in table
    assert "\x1b" not in table


def test_tables_show_the_facts_that_there_are() -> None:
    body = job(enqueued=5, succeeded=4, rejected=1, state="completed_with_failures", is_final=True, errors=["why"])
    assert "5/5" in rendered(job_table([body]))
    details = rendered(job_details(body))
    assert "why" in details
    assert "None" not in details
    assert "no GPU" in rendered(job_details(job(hindrance="no GPU")))


def test_a_file_of_results_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    assert write_lines(iter([b"1\n", b"2\n"]), path) == 2
    assert path.read_bytes() == b"1\n2\n"

    def breaking() -> Iterator[bytes]:
        yield b"3\n"
        raise ServiceUnavailable("broke off")

    with pytest.raises(ServiceUnavailable):
        write_lines(breaking(), path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["r.jsonl"]
    assert path.read_bytes() == b"1\n2\n"
    with pytest.raises(UsageError, match="cannot be written"):
        write_lines(iter([b"1\n"]), tmp_path / "none" / "r")


def test_a_job_shows_how_many_workers_it_wants_and_how_long_its_first_item_took() -> None:
    text = rendered(job_details(job(workers=3, first_end_after=4.26)))

    assert "wants 3" in text
    assert "4.3 s after its submission" in text
