"""A package of somebody else's, installed beside stream-infer: its source, store, format and predictor in one job, and
nothing of it named anywhere but in the configuration and on the command line."""

import json
import lzma
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.plugin import install
from tests.support.up_process import ROOT, UpProcess, up_in, write_config

LARGE = "word " * 400_000  # 2 MB: no message of Kafka's carries it, the store does
TEXTS = ["not bad", "not bad at all", None, LARGE]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with closing(sqlite3.connect(tmp_path / "reviews.db")) as database:
        database.execute("CREATE TABLE reviews (id INTEGER PRIMARY KEY, text TEXT)")
        database.executemany("INSERT INTO reviews (text) VALUES (?)", [(text,) for text in TEXTS])
        database.commit()
    return tmp_path


@pytest.fixture
def environment(folder: Path) -> dict[str, str]:
    packages = install(folder / "packages")
    return {"PYTHONPATH": f"{ROOT}{os.pathsep}{packages}", "SHELVES": str(folder / "shelves")}


@pytest.fixture
def up(folder: Path, environment: dict[str, str]) -> Iterator[UpProcess]:
    counting = {
        "name": "counting",
        "predictor": {"type": "plugin", "name": "word-count", "config": {"field": "text"}},
        "partitions": 1,
        "results": {"format": "jsonl.xz"},
        "retry": {"max_attempts": 1},
    }
    config = write_config(folder, store="shelf://reviews/2026", apis=[counting])
    with up_in(folder, config, environment) as process:
        process.wait_until_ready()
        yield process
        assert process.interrupt() == 0, process.text()


def test_a_job_goes_through_another_packages_source_predictor_format_and_store(
    up: UpProcess, folder: Path, environment: dict[str, str]
) -> None:
    source = json.dumps({"file": str(folder / "reviews.db"), "table": "reviews"})

    job = json.loads(
        command(folder, environment, "submit", "counting", "--plugin", f"sqlite={source}", "--wait", status=1)
    )

    assert job["state"] == "completed_with_failures"
    assert (job["counts"]["succeeded"], job["counts"]["rejected"]) == (3, 1)
    results = [json.loads(line) for line in command(folder, environment, "results", job["job_id"]).splitlines()]
    assert [(one["source"], one["output"]["words"]) for one in results] == [
        ("reviews:1", 2),
        ("reviews:2", 4),
        ("reviews:4", 400_000),
    ]
    below = folder / "shelves" / "reviews" / "2026" / "counting" / job["job_id"]
    lines = [line for part in below.rglob("*.jsonl.xz") for line in lzma.decompress(part.read_bytes()).splitlines()]
    assert sorted(json.loads(line)["source"] for line in lines) == ["reviews:1", "reviews:2", "reviews:4"]


def command(folder: Path, environment: dict[str, str], *arguments: str, status: int = 0) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "stream_infer", "-f", str(folder / "stream-infer.yaml"), *arguments, "--output", "json"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
        env={**os.environ, **environment},
    )
    assert done.returncode == status, (done.returncode, done.stdout, done.stderr)
    assert "Traceback" not in done.stderr
    return done.stdout
