"""What a program submits, as what the gateway is asked and sent."""

import asyncio
import io
import itertools
import json
import os
import tarfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from stream_infer.clients.call import AsyncOutgoing, Call, Outgoing
from stream_infer.clients.errors import GatewayUnavailable, RequestRefused
from stream_infer.clients.given import INLINE_ITEMS, Source, local_file, source_of
from stream_infer.clients.packing import file_body, files_below, frame_rows, named_files, tar_body
from stream_infer.clients.payloads import output_of, payload_of
from stream_infer.clients.submitting import is_about_reading, is_elsewhere, submitting
from stream_infer.errors import UsageError
from stream_infer.gateway.representations import UploadBody
from stream_infer.jobs.spec import JobSpec
from tests.support.job_bodies import job
from tests.support.steps import asked, carry_out

HERE, THERE = "http://127.0.0.1:8080", "http://gateway.internal:8080"
NO_GLOBS: dict[str, Any] = {}


def bytes_of(source: Source) -> bytes:
    assert source.upload is not None
    assert isinstance(source.upload.body, Outgoing)
    return b"".join(source.upload.body.begin())


def lines_of(source: Source) -> list[Any]:
    return [json.loads(line) for line in bytes_of(source).splitlines()]


def test_few_items_are_in_the_request_itself() -> None:
    for items in ([1, {"a": "ü"}, None], (item for item in [1, {"a": "ü"}, None])):
        source = source_of(items, NO_GLOBS)
        assert source.spec == {"item_list": {"items": [1, {"a": "ü"}, None]}}
        assert source.upload is None
    with pytest.raises(UsageError, match="no items"):
        source_of([], NO_GLOBS)


def test_many_items_are_sent_as_they_are_made_and_not_held() -> None:
    made = itertools.count()
    source = source_of(({"n": next(made)} for _ in range(3 * INLINE_ITEMS)), NO_GLOBS)
    assert next(made) == INLINE_ITEMS + 1, "no more were asked for than had to be"
    assert source.spec is None
    assert source.upload is not None
    assert (source.upload.kind, source.upload.name) == ("jsonl", "items.jsonl")
    assert not source.upload.body.can_begin_again
    assert isinstance(source.upload.body, Outgoing)
    first = next(chunks := source.upload.body.begin())
    assert len(first) < 1_000_000
    rest = b"".join(chunks)
    assert (first + rest).count(b"\n") == 3 * INLINE_ITEMS
    assert json.loads(first.splitlines()[7]) == {"n": 7}


def test_a_list_can_be_sent_again_an_iterator_cannot() -> None:
    for items, again in (([0] * (INLINE_ITEMS + 1), True), (iter([0] * (INLINE_ITEMS + 1)), False)):
        upload = source_of(items, NO_GLOBS).upload
        assert upload is not None
        assert upload.body.can_begin_again is again


def test_what_a_coroutine_makes_is_sent_as_it_comes() -> None:
    async def items() -> AsyncIterator[int]:
        for number in range(5):
            yield number

    upload = source_of(items(), NO_GLOBS).upload
    assert upload is not None
    assert isinstance(upload.body, AsyncOutgoing)
    begin = upload.body.begin

    async def sent() -> list[bytes]:
        return [chunk async for chunk in begin()]

    assert asyncio.run(sent()) == [b"0\n1\n2\n3\n4\n"]


def test_numpy_is_json_and_what_is_none_is_named_by_its_number() -> None:
    import numpy as np

    source = source_of([np.float32(0.5), {"x": np.arange(3)}], NO_GLOBS)
    assert source.spec == {"item_list": {"items": [0.5, {"x": [0, 1, 2]}]}}
    for wrong, said in (
        (["ok", object()], "item 1 is no JSON"),
        ([1.0, float("nan")], "item 1 is no JSON"),
        ([b"bytes"], "give their paths"),
        (b"bytes", "give their paths"),
        ("text", "a text, not items"),
        (7, "an? int is no source"),
    ):
        with pytest.raises(UsageError, match=said):
            source_of(wrong, NO_GLOBS)  # type: ignore[arg-type]


def test_a_dataframes_rows_are_items_with_every_digit_and_null_for_what_is_missing() -> None:
    import pandas as pd

    frame = pd.DataFrame(
        {
            "f": [0.1 + 0.2, float("nan")],
            "n": pd.array([1, None], dtype="Int64"),
            "s": ["ü", None],
            "t": pd.to_datetime(["2026-01-02", None]),
            "l": [[1, 2], []],
        },
        index=[5, 5],
    )
    source = source_of(frame, NO_GLOBS)
    assert source.upload is not None
    assert source.upload.kind == "jsonl"
    assert source.upload.body.can_begin_again
    assert lines_of(source) == [
        {"f": 0.30000000000000004, "n": 1, "s": "ü", "t": "2026-01-02T00:00:00", "l": [1, 2]},
        {"f": None, "n": None, "s": None, "t": None, "l": []},
    ]
    assert len(list(frame_rows(pd.DataFrame({"n": range(12_000)})))) == 12_000


def tree(folder: Path) -> Path:
    for name in ("b/2.txt", "a.jpg", ".git/config", "b/.hidden", "b/1.jpg"):
        (folder / name).parent.mkdir(exist_ok=True, parents=True)
        (folder / name).write_bytes(name.encode() * 300)
    return folder


def test_a_folder_is_named_where_the_gateway_reads_it_and_packed_where_it_does_not(tmp_path: Path) -> None:
    source = source_of(tree(tmp_path), {"includes": (), "excludes": ["*.txt"]})
    assert source.spec == {"directory": {"path": tmp_path.as_uri(), "excludes": ["*.txt"]}}
    assert source.upload is not None
    assert source.upload.spec("upload:x") == {"tar": {"uri": "upload:x", "excludes": ["*.txt"]}}
    with tarfile.open(fileobj=io.BytesIO(bytes_of(source))) as archive:
        assert archive.getnames() == ["a.jpg", "b/1.jpg", "b/2.txt"]
        content = archive.extractfile("b/1.jpg")
        assert content is not None
        assert content.read() == b"b/1.jpg" * 300
    assert files_below(tmp_path, with_hidden=True)[0][0] == ".git/config"


def test_an_archive_is_what_tar_reads_whatever_files_are_called(tmp_path: Path) -> None:
    names = ["é" * 90 + ".bin", "x" * 200, os.fsdecode(b"\xff.bin")]
    for number, name in enumerate(names):
        (tmp_path / name).write_bytes(bytes(range(256)) * number * 5)
    files = files_below(tmp_path, with_hidden=False)
    with tarfile.open(fileobj=io.BytesIO(b"".join(tar_body(files).begin()))) as archive:
        assert sorted(archive.getnames()) == sorted(names)
        assert {member.size for member in archive} == {0, 1280, 2560}


def test_a_file_is_as_long_as_it_was_promised_to_be(tmp_path: Path) -> None:
    path = tmp_path / "growing.jsonl"
    path.write_bytes(b"1\n")
    whole, packed = file_body(path), tar_body([("growing.jsonl", path)])
    chunks = whole.begin()
    with path.open("ab") as file:
        file.write(b"2\n")
    assert b"".join(chunks) == b"1\n"
    path.write_bytes(b"")
    with pytest.raises(UsageError, match="has become shorter"):
        list(whole.begin())
    path.unlink()
    for body in (whole, packed):
        with pytest.raises(UsageError, match="cannot be read"):
            list(body.begin())
    with pytest.raises(UsageError, match="cannot be read"):
        file_body(path)


def test_files_have_a_name_each(tmp_path: Path) -> None:
    tree(tmp_path)
    (tmp_path / "b" / "a.jpg").write_bytes(b"x")
    a, other, one = tmp_path / "a.jpg", tmp_path / "b" / "a.jpg", tmp_path / "b" / "1.jpg"
    assert [name for name, _ in named_files([a, one])] == ["a.jpg", "1.jpg"]
    assert [name for name, _ in named_files([a, other])] == ["a.jpg", "b/a.jpg"]
    for wrong, said in (([a, a], "twice"), ([tmp_path], "no file"), ([tmp_path / "none"], "no file")):
        with pytest.raises(UsageError, match=said):
            named_files(wrong)
    source = source_of([a, one], NO_GLOBS)
    assert source.spec is None
    assert source.upload is not None
    assert source.upload.kind == "tar"


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("i.jsonl", "jsonl"), ("i.ndjson", "jsonl"), ("i.jsonl.gz", "jsonl"), ("t.csv", "csv"), ("t.TSV", "csv"),
        ("t.parquet", "parquet"), ("p.tar", "tar"), ("p.tar.gz", "tar"), ("p.tgz", "tar"),
    ],
)  # fmt: skip
def test_a_file_is_read_as_its_name_says(tmp_path: Path, name: str, kind: str) -> None:
    path = tmp_path / name
    path.write_bytes(b"1\n")
    source = source_of(path, NO_GLOBS)
    assert source.spec == {kind: {"uri": path.as_uri()}}
    assert bytes_of(source) == b"1\n"
    JobSpec.model_validate(source.spec)


def test_any_other_file_is_one_item(tmp_path: Path) -> None:
    (tmp_path / "cat.jpg").write_bytes(b"\xff\xd8")
    source = source_of(tmp_path / "cat.jpg", NO_GLOBS)
    assert source.spec is None
    with tarfile.open(fileobj=io.BytesIO(bytes_of(source))) as archive:
        assert archive.getnames() == ["cat.jpg"]
    with pytest.raises(UsageError, match="is not there"):
        source_of(tmp_path / "dog.jpg", NO_GLOBS)


def test_a_source_of_the_spec_goes_as_it_is(tmp_path: Path) -> None:
    manifest = {"manifest": {"uri": "s3://b/m"}, "config": {"a": 1}}
    assert source_of(manifest, NO_GLOBS) == Source(manifest)
    assert source_of("s3://b/in/", {"includes": ["*.jpg"]}).spec == {
        "s3_prefix": {"uri": "s3://b/in/", "includes": ["*.jpg"]}
    }
    theirs = {"csv": {"uri": "file:///only/there.csv"}}
    assert source_of(theirs, NO_GLOBS) == Source(theirs)
    (tmp_path / "a b.csv").write_text("a\n1\n")
    ours = {"csv": {"uri": (tmp_path / "a b.csv").as_uri(), "header": False}, "workers": 2}
    assert local_file(ours) == ("csv", tmp_path / "a b.csv")
    source = source_of(ours, NO_GLOBS)
    assert source.upload is not None
    assert source.upload.spec("upload:x") == {"csv": {"uri": "upload:x", "header": False}, "workers": 2}
    (tmp_path / "r.jsonl").write_text('{"custom_id": "1", "body": 1}\n')
    batch = source_of({"requests": {"uri": (tmp_path / "r.jsonl").as_uri()}}, NO_GLOBS)
    assert batch.upload is not None
    assert batch.upload.spec("upload:x") == {"requests": {"uri": "upload:x"}}
    for given in ([1], manifest, tmp_path / "a b.csv"):
        with pytest.raises(UsageError, match="includes and excludes"):
            source_of(given, {"includes": ["*"]})


UPLOADED = UploadBody(upload_id="u1", uri="upload:u1/items.jsonl", bytes=3, sha256="", unused_for=9.0)
MAY_NOT_READ = RequestRefused("/directory/path: /p is below none … add it to fetch.allowed_directories")


def submit(url: str, source: Source, **outcomes: Any) -> tuple[Any, list[str], list[dict[str, Any]]]:
    """What came of it, what was asked, and the specs that were submitted."""
    specs: list[dict[str, Any]] = []

    def answer(call: Call[Any]) -> Any:
        if call.request.path.startswith("/v1/uploads"):
            return UPLOADED
        assert isinstance(call.request.body, bytes)
        specs.append(json.loads(call.request.body))
        return outcomes.get("first" if len(specs) == 1 else "second", job())

    try:
        made, steps = carry_out(submitting(url, "echo", source, {"config": {}}, None), answer)
    except RequestRefused as error:
        return error, [], specs
    return made, asked(steps), specs


SUBMIT, UPLOAD, REMOVE = "POST /v1/apis/echo/jobs", "POST /v1/uploads?name=f.tar", "DELETE /v1/uploads/u1"


@pytest.fixture
def folder(tmp_path: Path) -> Source:
    (tmp_path / "f").mkdir()
    (tmp_path / "f" / "1.jpg").write_bytes(b"x")
    return source_of(tmp_path / "f", NO_GLOBS)


def test_a_gateway_here_is_asked_first_and_sent_what_it_may_not_read(folder: Source) -> None:
    assert submit(HERE, folder)[1] == [SUBMIT]
    made, steps, specs = submit(HERE, folder, first=MAY_NOT_READ)
    assert steps == [SUBMIT, UPLOAD, SUBMIT]
    assert specs[1] == {"tar": {"uri": "upload:u1/items.jsonl"}, "config": {}}
    assert made.job_id == "j1"
    error, _, specs = submit(HERE, folder, first=RequestRefused("no API is named echo"))
    assert isinstance(error, RequestRefused)
    assert len(specs) == 1


def test_a_gateway_elsewhere_is_sent_the_files(folder: Source) -> None:
    assert submit(THERE, folder)[1] == [UPLOAD, SUBMIT]
    assert [is_elsewhere(url) for url in (HERE, "http://localhost:1", "http://[::1]:1", THERE)] == [
        False, False, False, True,
    ]  # fmt: skip
    assert is_about_reading(MAY_NOT_READ)
    assert not is_about_reading(RequestRefused("no API is named x"))


@pytest.mark.parametrize(("error", "is_removed"), [(RequestRefused("wrong"), True), (GatewayUnavailable("?"), False)])
def test_an_upload_goes_again_where_the_job_is_refused_but_not_where_nobody_knows(
    folder: Source, error: Exception, is_removed: bool
) -> None:
    seen: list[str] = []

    def answer(call: Call[Any]) -> Any:
        seen.append(f"{call.request.method} {call.request.path}")
        return UPLOADED if "uploads" in call.request.path else error

    with pytest.raises(type(error)):
        carry_out(submitting(THERE, "echo", folder, {}, "k"), answer)
    assert (REMOVE in seen) is is_removed


def test_each_submission_has_a_key_of_its_own_or_that_of_the_caller() -> None:
    keys: list[str] = []

    def answer(call: Call[Any]) -> Any:
        keys.append(call.request.headers["Idempotency-Key"])
        return job()

    source = source_of([1], NO_GLOBS)
    for key in (None, None, "mine"):
        carry_out(submitting(HERE, "echo", source, {}, key), answer)
    assert len(set(keys)) == 3
    assert keys[2] == "mine"
    assert len(keys[0]) == 32


def test_a_prediction_takes_json_bytes_or_a_file(tmp_path: Path) -> None:
    (tmp_path / "cat.png").write_bytes(b"\x89PNG")
    assert payload_of({"a": 1}, None) == (b'{"a": 1}', "application/json")
    assert payload_of(b"x", None) == (b"x", "application/octet-stream")
    assert payload_of(tmp_path / "cat.png", None) == (b"\x89PNG", "image/png")
    assert payload_of(b"x", "image/webp") == (b"x", "image/webp")
    with pytest.raises(UsageError, match="cannot be read"):
        payload_of(tmp_path / "dog.png", None)
    assert output_of(b'{"label": "cat"}', "application/json; charset=utf-8") == {"label": "cat"}
    assert output_of(b"\x89PNG", "image/png") == b"\x89PNG"
    assert output_of(b"", "application/json") is None
