"""Results as their owner gets them: by `up`, the commands, DuckDB and pandas, and plain files."""

import gzip
import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pytest

from stream_infer.local.free_ports import find_free
from tests.support.s3_fixture import S3Server
from tests.support.settings import predictor
from tests.support.up_process import ROOT, UpProcess, up_in, write_config

ITEMS = [{"id": f"i{n}", "x": n, "pad": "p" * 50} for n in range(60)]
SHAPED = ["--input-filter", "$.x", "--join-input", "--output-filter", "{id: input.id, twice: output}"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("results")
    (folder / "items.jsonl").write_text("".join(json.dumps(item) + "\n" for item in ITEMS))
    return folder


@pytest.fixture(scope="module")
def up(folder: Path) -> Iterator[UpProcess]:
    echo = {"name": "echo", "predictor": predictor("behaving.py:Echo"), "partitions": 2}
    doubling = {"name": "doubling", "predictor": predictor("doubling.py:Doubling"), "partitions": 2}
    drawing = {"name": "drawing", "predictor": predictor("drawing.py:Drawing"), "partitions": 2}
    drawing["results"] = {"format": "per-item"}
    fetch = {"allowed_directories": [str(folder)]}
    with up_in(folder, write_config(folder, apis=[echo, doubling, drawing], fetch=fetch)) as process:
        process.wait_until_ready()
        yield process
        assert process.interrupt() == 0, process.text()


def command(folder: Path, *arguments: str, status: int = 0, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "stream_infer", "-f", str(folder / "stream-infer.yaml"), *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
    )
    assert done.returncode == status, (done.returncode, done.stdout, done.stderr)
    assert "Traceback" not in done.stderr
    return done.stdout if status == 0 else done.stderr


def submitted(folder: Path, api: str, *options: str, **environment: str) -> dict[str, Any]:
    arguments = ["submit", api, "--file", str(folder / "items.jsonl"), "--wait", "--output", "json", *options]
    job = json.loads(command(folder, *arguments, **environment))
    assert job["counts"]["succeeded"] == len(ITEMS)
    return dict(job)


def results(folder: Path, job: dict[str, Any]) -> list[dict[str, Any]]:
    lines = command(folder, "results", job["job_id"], "--output", "json").splitlines()
    return [json.loads(line) for line in lines]


def files(folder: Path, job: dict[str, Any], pattern: str) -> list[Path]:
    return sorted((folder / "store" / job["api_name"] / job["job_id"]).glob(pattern))


@pytest.mark.parametrize("name", ["jsonl", "jsonl.gz", "parquet", "per-item"])
def test_results_come_in_the_order_of_the_items_whatever_their_format(up: UpProcess, folder: Path, name: str) -> None:
    job = submitted(folder, "echo", "--format", name)

    found = results(folder, job)
    assert [line["output"] for line in found] == ITEMS
    assert [line["item_id"] for line in found] == [f"{job['job_id']}-{n}" for n in range(len(ITEMS))]
    assert job["results"] == ({} if name == "jsonl" else {"format": name})
    command(folder, "results", job["job_id"], "--output", str(folder / "out.jsonl"))
    assert [json.loads(line)["output"] for line in (folder / "out.jsonl").read_text().splitlines()] == ITEMS


def test_others_read_the_objects_themselves(up: UpProcess, folder: Path) -> None:
    job = submitted(folder, "echo", "--format", "parquet")
    table = f"read_parquet('{files(folder, job, 'results')[0]}/*.parquet', union_by_name=true)"
    assert duckdb.sql(f"select sum(output.x), count(*), min(source) from {table}").fetchall()[0][:2] == (1770, 60)
    frame = pd.concat([pd.read_parquet(file) for file in files(folder, job, "results/*.parquet")])
    assert sorted(output["x"] for output in frame["output"]) == list(range(60))

    job = submitted(folder, "echo", "--format", "jsonl.gz")
    packed = [file.read_bytes() for file in files(folder, job, "results/*.jsonl.gz")]
    lines = [line for data in packed for line in gzip.decompress(data).splitlines()]
    assert sorted(json.loads(line)["output"]["x"] for line in lines) == list(range(60))

    job = submitted(folder, "echo", "--format", "per-item")
    each = files(folder, job, "items/*.json")
    assert sorted(json.loads(file.read_text())["x"] for file in each) == list(range(60))
    manifest = json.loads(files(folder, job, "manifest.json")[0].read_text())
    assert len(manifest["objects"]) < 20, "those of any other format, not one an item"


def test_outputs_are_files_of_their_own_type_whatever_their_size(up: UpProcess, folder: Path) -> None:
    """One of them is too large for a message, and comes by reference."""
    sizes = [10, 2_500_000, 30]
    job = json.loads(command(folder, "submit", "drawing", *map(str, sizes), "--wait", "--output", "json"))

    each = files(folder, job, "items/*")
    assert [file.name.rpartition("-")[2] for file in each] == ["0.png", "1.png", "2.png"]
    assert [file.read_bytes() for file in each] == [b"\x89PNG" + b"." * size for size in sizes]
    shown = results(folder, job)
    assert [line["content_type"] for line in shown] == [
        "image/png", "application/vnd.stream-infer.ref+json", "image/png",
    ]  # fmt: skip
    assert shown[1]["output"] == {"uri": each[1].as_uri(), "content_type": "image/png"}


def test_the_predictor_gets_what_the_filter_leaves_and_results_have_what_was_asked_for(
    up: UpProcess, folder: Path
) -> None:
    job = submitted(folder, "doubling", *SHAPED)

    assert [line["output"] for line in results(folder, job)] == [{"id": f"i{n}", "twice": 2 * n} for n in range(60)]


def test_a_filter_that_does_not_compile_is_refused_with_its_position(up: UpProcess, folder: Path) -> None:
    said = command(folder, "submit", "echo", "1", "--input-filter", "$.a[?", status=2)

    assert "/results/input_filter" in said
    assert "'$.a[?' is no JSONPath" in said
    assert "at its end, character 6" in said


def test_an_item_that_a_filter_refuses_is_a_dead_letter_with_its_stage_and_itself(up: UpProcess, folder: Path) -> None:
    items = ['{"x": 1}', '{"y": 2}']
    said = ["submit", "doubling", *items, "--input-filter", "$.x", "--wait", "--output", "json"]
    done = subprocess.run(
        [sys.executable, "-m", "stream_infer", "-f", str(folder / "stream-infer.yaml"), *said],
        cwd=folder, capture_output=True, text=True, timeout=120, check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    job = json.loads(done.stdout)
    assert (job["state"], job["counts"]["rejected"]) == ("completed_with_failures", 1)

    [line] = command(folder, "results", job["job_id"], "--failures", "--output", "json").splitlines()
    assert json.loads(line)["error"]["stage"] == "input-filter"
    assert "$.x finds nothing" in json.loads(line)["error"]["message"]
    exported = command(folder, "dlq", "export", job["job_id"])
    assert '"y"' in exported


def test_a_directory_has_no_links_and_says_what_there_is_instead(up: UpProcess, folder: Path) -> None:
    job = submitted(folder, "echo")

    assert "the store is a directory" in command(folder, "results", job["job_id"], "--links", status=2)


def test_anybody_reads_results_by_their_links_when_the_store_is_s3(tmp_path: Path, s3: S3Server) -> None:
    (tmp_path / "items.jsonl").write_text("".join(json.dumps(item) + "\n" for item in ITEMS))
    [port] = find_free(1)
    config = write_config(
        tmp_path,
        store=f"s3://{s3.bucket}/results",
        gateway={"listen": f"127.0.0.1:{port}"},
        fetch={"allowed_directories": [str(tmp_path)]},
    )
    environment = s3.environment()
    before = {name: os.environ.get(name) for name in environment}
    os.environ.update(environment)
    try:
        with up_in(tmp_path, config) as up:
            up.wait_until_ready()
            job = submitted(tmp_path, "echo", "--format", "jsonl.gz")
            found = []
            for link in command(tmp_path, "results", job["job_id"], "--links", "--expires", "60").splitlines():
                with urllib.request.urlopen(link) as answer:
                    found += [json.loads(line)["output"]["x"] for line in gzip.decompress(answer.read()).splitlines()]
            assert sorted(found) == list(range(60))
            each = submitted(tmp_path, "echo", "--format", "per-item")
            lines = command(tmp_path, "results", each["job_id"], "--links", "--output", "json").splitlines()
            assert len(lines) == 60
            with urllib.request.urlopen(json.loads(lines[7])["url"]) as answer:
                assert json.loads(answer.read()) == ITEMS[7]
                assert answer.headers["content-type"] == "application/json"
            assert up.interrupt() == 0
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
