"""Jobs of every source, submitted from the shell to a running `up`, with objects in a real S3 server."""

import gzip
import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pytest
from pyarrow import parquet

from tests.support.s3_fixture import S3Server, with_new_bucket
from tests.support.up_process import ROOT, UpProcess, up_in, write_config

WITHIN_S = 120.0
TEXTS = {"texts/a.txt": b"1", "texts/b/c.txt": b"two words", "texts/b/d.bin": b"\xff"}


class Ended(NamedTuple):
    code: int
    out: str
    err: str


class Shell:
    """`stream-infer` in the folder of the configuration."""

    def __init__(self, folder: Path, up: UpProcess) -> None:
        self._folder = folder
        self.up = up
        self._last = ""

    def __call__(self, *arguments: str) -> Ended:
        command = [sys.executable, "-m", "stream_infer", *arguments]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        ended = subprocess.run(
            command, cwd=self._folder, env=environment, capture_output=True, text=True, timeout=WITHIN_S, check=False
        )
        return Ended(ended.returncode, ended.stdout, ended.stderr)

    def outputs(self, *source: str, code: int = 0) -> list[Any]:
        """What comes out of a job of the source, in the order of its items."""
        ended = self("submit", "echo", *source, "--wait", "--output", "json")
        assert ended.code == code, (source, ended, self.up.text()[-3000:])
        job = json.loads(ended.out)
        self._last = job["job_id"]
        lines = self("results", job["job_id"], "--output", "json").out.splitlines()
        assert len(lines) == job["counts"]["succeeded"], ended
        return [json.loads(line)["output"] for line in lines]

    def dead_letters(self) -> str:
        """Of the job before."""
        return self("dlq", "ls", self._last, "--output", "json").out

    def failure(self, *source: str) -> str:
        """Why a job of the source has failed."""
        ended = self("submit", "echo", *source, "--wait", "--output", "json")
        assert ended.code == 1, (source, ended)
        job = json.loads(ended.out)
        assert job["state"] == "failed"
        [error] = job["errors"]
        return str(error)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tmp_path = tmp_path_factory.mktemp("sources")
    (tmp_path / "in" / "texts").mkdir(parents=True)
    (tmp_path / "in" / "texts" / "a.txt").write_text("one")
    (tmp_path / "in" / "texts" / "b.md").write_text("no text")
    (tmp_path / "in" / "items.jsonl").write_text('{"a": 1}\n\n"two"\n')
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "items.jsonl").write_text("".join(f"{number}\n" for number in range(2500)))
    (tmp_path / "out" / "ragged.csv").write_text("a,b\n1,2\n3\n")
    requests = ({"custom_id": str(body), "method": "POST", "url": "/v1/x", "body": body} for body in ({"n": 1}, "two"))
    (tmp_path / "out" / "requests.jsonl").write_text("".join(f"{json.dumps(one)}\n" for one in requests))
    (tmp_path / "in" / "table.csv").write_text('id,text\n1,"x, y"\n2,\n')
    parquet.write_table(pa.table({"id": [1, 2, 3], "text": ["a", None, "c"]}), tmp_path / "in" / "table.parquet")
    return tmp_path


@pytest.fixture(scope="module")
def s3(s3_server: S3Server) -> S3Server:
    """One bucket of each server for all tests here."""
    return with_new_bucket(s3_server)


@pytest.fixture(scope="module")
def shell(folder: Path, s3: S3Server) -> Iterator[Shell]:
    """One `up` for all tests on a server. Where that has accounts, it may not read what is below in/locked/."""
    allowed = {"allowed_directories": [str(folder / "in")], "allowed_s3_prefixes": [f"s3://{s3.bucket}/in"]}
    state = {"state_dir": str(folder / s3.bucket), "store": (folder / f"{s3.bucket}-store").as_uri()}
    with pytest.MonkeyPatch.context() as monkeypatch, ExitStack() as closing:
        for name, value in s3.denying("in/locked/").environment().items():
            monkeypatch.setenv(name, value)
        up = closing.enter_context(up_in(folder, write_config(folder, fetch=allowed, **state)))
        up.wait_until_ready()
        yield Shell(folder, up)


@pytest.mark.timeout(600)
def test_every_source_gives_its_items_from_the_shell(shell: Shell, folder: Path, s3: S3Server) -> None:
    bucket = f"s3://{s3.bucket}"
    client = s3.client()
    objects = {
        **{f"in/{name}": data for name, data in TEXTS.items()},
        "in/lines/1.jsonl": b'{"n": 1}\n2\n',
        "in/lines/2.jsonl.gz": gzip.compress(b"3\n4\n"),
        "in/csv/part-1.gz": gzip.compress(b"1,2\n3,4\n"),
        "in/manifest": json.dumps([{"prefix": f"{bucket}/in/texts/"}, "b/c.txt", "a.txt"]).encode(),
        "in/table.parquet": (folder / "in" / "table.parquet").read_bytes(),
        "in/items.jsonl": b'{"a": 1}\n\n"two"\n',
        "in/requests.jsonl": (folder / "out" / "requests.jsonl").read_bytes(),
        "in/table.csv": (folder / "in" / "table.csv").read_bytes(),
        "in/table.tsv.gz": gzip.compress(b"id\ttext\n1\tone\n"),
    }
    for key, data in objects.items():
        client.put_object(Bucket=s3.bucket, Key=key, Body=data)

    rows = [{"id": 1, "text": "a"}, {"id": 2, "text": None}, {"id": 3, "text": "c"}]
    assert shell.outputs("1", "two") == [1, "two"]
    assert shell.outputs("--file", "in/items.jsonl") == [{"a": 1}, "two"]
    assert shell.outputs("--csv", "in/table.csv") == [{"id": 1, "text": "x, y"}, {"id": 2, "text": ""}]
    assert shell.outputs("--parquet", "in/table.parquet") == rows
    assert shell.outputs("--parquet", f"{bucket}/in/table.parquet") == rows
    assert shell.outputs("--file", f"{bucket}/in/items.jsonl") == [{"a": 1}, "two"]
    # One of this machine that the gateway may not read is sent, and one of S3 is read there.
    assert shell.outputs("--requests", "out/requests.jsonl") == [{"n": 1}, "two"]
    assert shell.outputs("--requests", f"{bucket}/in/requests.jsonl") == [{"n": 1}, "two"]
    assert shell.outputs("--csv", f"{bucket}/in/table.csv") == [{"id": 1, "text": "x, y"}, {"id": 2, "text": ""}]
    assert shell.outputs("--csv", f"{bucket}/in/table.tsv.gz") == [{"id": 1, "text": "one"}]
    assert shell.outputs("--dir", "in/texts", "--include", "*.txt") == ["one"]
    assert shell.outputs("--s3-prefix", f"{bucket}/in/texts", "--exclude", "*.bin") == ["1", "two words"]
    assert shell.outputs("--manifest", f"{bucket}/in/manifest") == ["two words", "1"]
    assert shell.outputs("--file-paths", f"{bucket}/in/texts/b", "--file-paths", f"{bucket}/in/texts/a") == [
        f"{bucket}/in/texts/b/c.txt",
        f"{bucket}/in/texts/b/d.bin",
        f"{bucket}/in/texts/a.txt",
    ]
    assert shell.outputs("--delimited-files", f"{bucket}/in/lines/") == [{"n": 1}, 2, 3, 4]
    packed = ("--s3-prefix", f"{bucket}/in/csv/", "--gzip", "--content-type", "text/csv")
    assert shell.outputs(*packed) == ["1,2\n3,4\n"]
    assert shell.outputs(*packed, "--split-lines") == ["1,2", "3,4"]

    # A folder that the gateway may not read: the file is sent.
    assert shell.outputs("--file", "out/items.jsonl") == list(range(2500))
    listed = shell("submit", "echo", "--file", "out/items.jsonl", "--dry-run", "--limit", "2")
    assert listed.out.splitlines()[-1] == "echo would get more than 2 items; see --limit."
    assert [line.rpartition("#")[2] for line in listed.out.splitlines()[:2]] == ["line=1  0", "line=2  1"]
    listed = shell("submit", "echo", "--s3-prefix", f"{bucket}/in/texts/", "--dry-run")
    assert listed.out.splitlines() == [*(f"  {bucket}/in/{name}" for name in TEXTS), "echo would get 3 items."]
    listed = shell("submit", "echo", "--manifest", f"{bucket}/in/manifest", "--dry-run")
    assert listed.out.splitlines() == [
        f"  {bucket}/in/texts/b/c.txt", f"  {bucket}/in/texts/a.txt", "echo would get 2 items.",
    ]  # fmt: skip
    listed = shell("submit", "echo", "--csv", f"{bucket}/in/table.csv", "--dry-run", "--limit", "1")
    assert listed.out.splitlines()[-1] == "echo would get more than 1 item; see --limit."


def test_an_empty_missing_forbidden_or_malformed_source_fails_its_job_with_its_place_and_no_other(
    shell: Shell, s3: S3Server
) -> None:
    bucket = f"s3://{s3.bucket}/in"
    client = s3.client()
    objects = {
        "texts/a.txt": b"1",
        "empty.jsonl": b"\n\n",
        "empty.csv": b"id,text\n",
        "ragged.csv": b"a,b\n1,2\n3\n",
        "cut.jsonl.gz": gzip.compress(b"".join(b"%d\n" % (n * n) for n in range(5000)))[:-40],
        "lines.jsonl": b"3\nno JSON\n4\n",
        "half.manifest": json.dumps([{"prefix": f"{bucket}/texts/"}, "a.txt"]).encode()[:-1],
        "outside.manifest": json.dumps([{"prefix": f"s3://{s3.bucket}/"}, "in/texts/a.txt", "secret"]).encode(),
        "gone.manifest": json.dumps([{"prefix": f"{bucket}/"}, "texts/a.txt", "none.txt"]).encode(),
        "locked/items.jsonl": b"1\n",
    }
    for key, data in objects.items():
        client.put_object(Bucket=s3.bucket, Key=f"in/{key}", Body=data)

    # Empty
    assert f"{bucket}/empty.jsonl is empty" in shell.failure("--file", f"{bucket}/empty.jsonl")
    assert f"{bucket}/empty.csv is empty" in shell.failure("--csv", f"{bucket}/empty.csv")
    assert "no object whose address begins with" in shell.failure("--s3-prefix", f"{bucket}/none")

    # Missing
    said = shell.failure("--file", f"{bucket}/none.jsonl")
    assert (f"{bucket}/none.jsonl" in said, "no such object" in said) == (True, True), said
    said = shell.failure("--manifest", f"{bucket}/gone.manifest", "--split-lines")
    assert (f"{bucket}/none.txt" in said, "no such object" in said) == (True, True), said

    # Forbidden: by our settings, and by the server's own rules
    assert "entry 2 ('secret')" in shell.failure("--manifest", f"{bucket}/outside.manifest")
    refused = shell("submit", "echo", "--s3-prefix", f"s3://{s3.bucket}/")
    assert (refused.code, "allowed_s3_prefixes" in refused.err) == (2, True)
    if s3.admin:
        for source in ("--file", "--csv", "--delimited-files"):
            said = shell.failure(source, f"{bucket}/locked/items.jsonl")
            assert (f"{bucket}/locked/items.jsonl" in said, "may not do that" in said) == (True, True), said

    # Malformed: at a line, an entry, a byte
    assert f"{bucket}/ragged.csv line 3 has 1 cells" in shell.failure("--csv", f"{bucket}/ragged.csv")
    assert "ragged.csv line 3 has 1 cells" in shell.failure("--csv", "out/ragged.csv")
    assert "broken off" in shell.failure("--file", f"{bucket}/cut.jsonl.gz")
    said = shell.failure("--manifest", f"{bucket}/half.manifest")
    assert (f"{bucket}/half.manifest is no manifest" in said, "at byte" in said) == (True, True), said
    assert "no Parquet file" in shell.failure("--parquet", f"{bucket}/half.manifest")

    # A line that is not JSON is its item's alone, and an object that is gone is as well where objects are items.
    assert shell.outputs("--file", f"{bucket}/lines.jsonl", code=1) == [3, 4]
    assert f"{bucket}/lines.jsonl#line=2" in shell.dead_letters()
    assert shell.outputs("--manifest", f"{bucket}/gone.manifest", code=1) == ["1"]
    assert f"{bucket}/none.txt" in shell.dead_letters()

    # Everybody is still there, and serves the next.
    assert shell.outputs("--s3-prefix", f"{bucket}/texts/a") == ["1"]
    assert "starting it again" not in shell.up.text()


def test_a_prefix_of_many_objects_and_a_table_of_many_rows_come_whole(shell: Shell, folder: Path, s3: S3Server) -> None:
    """More than one page of a listing, more than one row group."""
    client = s3.client()
    for number in range(1100):
        client.put_object(Bucket=s3.bucket, Key=f"in/many/{number:05}", Body=b"")
    table = io.BytesIO()
    parquet.write_table(pa.table({"id": list(range(20_000))}), table, row_group_size=3000)
    client.put_object(Bucket=s3.bucket, Key="in/many.parquet", Body=table.getvalue())

    start = f"s3://{s3.bucket}/in/many/"
    assert shell.outputs("--file-paths", start) == [f"{start}{number:05}" for number in range(1100)]
    assert shell.outputs("--parquet", f"s3://{s3.bucket}/in/many.parquet") == [{"id": n} for n in range(20_000)]
