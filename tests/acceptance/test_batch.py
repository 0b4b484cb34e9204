"""`stream-infer batch` from the shell: killed, interrupted, and run on real models."""

import io
import json
import os
import random
import re
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.mlruns import make_mlruns
from tests.support.processes import survivors
from tests.support.s3_fixture import S3Server
from tests.support.terminal import on_a_terminal

ROOT = Path(__file__).parents[2]
WORDS = ROOT / "tests" / "predictors" / "words.py"
FILES = 1500
WITHIN_S = 90.0


def write_texts(folder: Path, count: int) -> set[str]:
    """Some of which fail, and two of which kill the predictor's process."""
    for number in range(count):
        text = "poison" if number % 100 == 50 else "crash" if number in (333, 999) else "some words here"
        path = folder / f"{number % 13:02}" / f"{number:05}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return {str(path.relative_to(folder.parent)) for path in folder.rglob("*.txt")}


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "stream_infer", "batch", *arguments]


def run(
    folder: Path, *arguments: str, within_s: float = WITHIN_S, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **(environment or {}), "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        command(*arguments), cwd=folder, env=environment, capture_output=True, text=True, timeout=within_s, check=False
    )


@contextmanager
def started(folder: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        command(*arguments), cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def paths(path: Path) -> list[str]:
    return [str(line["filepath"]) for line in lines(path)]


def wait_until(met, within_s: float = WITHIN_S) -> None:
    deadline = time.monotonic() + within_s
    while not met():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_killed_at_any_moment_and_run_again_no_file_is_missing_and_none_there_twice(tmp_path: Path) -> None:
    expected = write_texts(tmp_path / "texts", FILES)
    results, errors = tmp_path / "results.jsonl", tmp_path / "results.errors.jsonl"
    arguments = (f"{WORDS}:Words", "texts", "pause=0.02", "batching.max_batch_size=16")
    chance = random.Random(6)
    for _ in range(4):
        size = results.stat().st_size if results.exists() else 0
        with started(tmp_path, *arguments) as process:
            wait_until(lambda size=size: results.exists() and results.stat().st_size > size)
            time.sleep(chance.uniform(0, 0.5))
            children = [
                int(line) for line in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
            ]
            process.send_signal(signal.SIGKILL)
            process.wait()
        assert children
        assert survivors(children, within_s=30) == []
    with results.open("ab") as file:
        file.write(b'{"time":"2026-11-22T11:00:00.000Z","filepath":"texts/12/0')
    killed = len(results.read_bytes().splitlines()) - 1 + len(lines(errors))
    assert 0 < killed < FILES

    last = run(tmp_path, *arguments)

    assert last.returncode == 1, last.stderr
    done, failed = paths(results), paths(errors)
    assert len(done) + len(failed) == FILES
    assert set(done) | set(failed) == expected
    assert {int(Path(path).stem) for path in failed} == {*range(50, FILES, 100), 333, 999}
    assert str(results) in last.stdout
    assert str(errors) in last.stdout
    assert f"{killed:,} of them before" in last.stderr
    again = re.search(r"Try those again with: +(.*)", last.stderr)
    assert again
    assert again[1].endswith("--retry-failed")

    mended = run(tmp_path, *arguments, "mended=true", "--retry-failed", "--mix")

    assert mended.returncode == 1, mended.stderr
    assert len(paths(results)) == len(set(paths(results))) == FILES - 2
    assert {int(Path(path).stem) for path in paths(errors)} == {333, 999}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_in_order_and_says_how_to_go_on(tmp_path: Path, number: signal.Signals) -> None:
    expected = write_texts(tmp_path / "texts", 5000)
    results = tmp_path / "out.jsonl"
    arguments = (f"{WORDS}:Words", "texts", "pause=0.05", "--output", "out.jsonl")
    with started(tmp_path, *arguments) as process:
        wait_until(lambda: results.exists() and results.stat().st_size > 0)
        process.send_signal(number)
        _, said = process.communicate(timeout=WITHIN_S)

    assert process.returncode == 130, said
    done = len(lines(results)) + len(lines(tmp_path / "out.errors.jsonl"))
    assert 0 < done < 5000
    assert f"{done:,} of 5,000 files are done" in said
    assert f"Go on with:  stream-infer batch {WORDS}:Words texts pause=0.05 --output out.jsonl" in said

    assert run(tmp_path, *arguments).returncode == 1
    assert {*paths(results), *paths(tmp_path / "out.errors.jsonl")} == expected


def test_everything_that_a_run_has_made_lies_beside_its_results(tmp_path: Path) -> None:
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt").write_text("one two three")
    (tmp_path / "talking.py").write_text(
        "class Model:\n"
        "    def __init__(self, config):\n"
        "        self.config = config\n"
        "        print('loading', config)\n"
        "    def predict(self, items):\n"
        "        return [self.config] * len(items)\n"
    )

    done = run(
        tmp_path, "talking.py:Model", "texts", "net.depth=3", "labels=[a, b]", "--batch-size", "4", "-o", "o.jsonl"
    )

    assert done.returncode == 0, done.stderr
    made = {path.name for path in tmp_path.iterdir()} - {"__pycache__"}  # Python's own, of talking.py
    assert sorted(made) == ["o.jsonl", "o.run", "talking.py", "texts"]
    [line] = lines(tmp_path / "o.jsonl")
    assert {name: line[name] for name in line if name != "time"} == {
        "filepath": "texts/a.txt",
        "net": {"depth": 3},
        "labels": ["a", "b"],
    }
    config = (tmp_path / "o.run" / "config.yaml").read_text()
    assert "depth: 3" in config
    assert "max_batch_size: 4" in config
    said = [entry.get("line", "") for entry in lines(tmp_path / "o.run" / "log.jsonl")]
    assert "loading {'net': {'depth': 3}, 'labels': ['a', 'b']}" in said


def test_a_terminal_shows_a_bar(tmp_path: Path) -> None:
    write_texts(tmp_path / "texts", 40)
    arguments = (f"{WORDS}:Words", "texts", "pause=0.3", "--batch-size", "10")
    with on_a_terminal("batch", *arguments, cwd=tmp_path, environment={"PYTHONPATH": str(ROOT)}) as terminal:
        assert terminal.process.wait(WITHIN_S) == 0
    counts = [int(count) for count in re.findall(r"(\d+)/40", terminal.text())]
    assert counts == sorted(counts)
    assert len(set(counts)) > 2
    assert counts[-1] == 40


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("words.py:Words", "nowhere"), 2, "nowhere is not a directory"),
        (("nowhere.py:Words", "texts"), 2, "there is no file"),
        (("classifier", "texts"), 2, "there is no configuration file"),
        (("words.py:Words", "texts", "batching.max_batch_sise=3"), 2, "did you mean max_batch_size"),
        (("words.py:Words", "texts", "--batch-size", "many"), 2, "neither a whole number from 1 on nor auto"),
        (("words.py:Words", "texts", "threshold"), 2, "is not KEY=VALUE"),
        (("words.py:Words", "texts", "--model", "/nowhere/net.pt"), 2, "there is no model at /nowhere/net.pt"),
        (("words.py:Words", "texts", "--output", "results.parquet"), 2, "results are lines of JSON"),
        (("words.py:Words", "texts", "--includes", "*.jpg"), 2, "no file below"),
    ],
)
def test_a_mistake_is_said_in_one_line_and_leaves_no_results(tmp_path: Path, arguments, code, said) -> None:
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt").write_text("one two three")
    (tmp_path / "words.py").write_text(WORDS.read_text())

    ended = run(tmp_path, *arguments)

    assert ended.returncode == code, ended.stderr
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr
    results = tmp_path / "results.jsonl"
    assert not results.exists() or results.read_text() == ""


def test_a_sagemaker_model_and_a_cortex_one_of_a_configuration_file(tmp_path: Path) -> None:
    write_texts(tmp_path / "texts", 3)
    (tmp_path / "net" / "code").mkdir(parents=True)
    (tmp_path / "net" / "code" / "inference.py").write_text(
        "import json\n"
        "def model_fn(model_dir): return 'net'\n"
        "def input_fn(body, content_type): return body\n"
        "def predict_fn(data, model): return {'words': len(data.split()), 'model': model}\n"
        "def output_fn(prediction, accept): return json.dumps(prediction), accept\n"
    )
    (tmp_path / "batch.py").write_text(
        "class PythonPredictor:\n"
        "    def __init__(self, config): pass\n"
        "    def predict(self, payload, batch_id): return payload\n"
    )
    (tmp_path / "stream-infer.yaml").write_text(
        "apis:\n"
        "  - {name: words, predictor: {type: sagemaker, model: net}}\n"
        "  - {name: jobs, predictor: {type: cortex, path: batch.py}}\n"
    )

    done = run(tmp_path, "words", "texts")
    refused = run(tmp_path, "jobs", "texts", "--output", "jobs.jsonl")

    assert done.returncode == 0, done.stderr
    assert [(line["words"], line["model"]) for line in lines(tmp_path / "results.jsonl")] == [(3, "net")] * 3
    assert refused.returncode == 2
    assert "stream-infer submit jobs --dir texts" in refused.stderr


def test_an_archive_that_leads_outside_of_itself_is_refused_and_nothing_of_it_is_there(tmp_path: Path) -> None:
    write_texts(tmp_path / "texts", 1)
    code = b"def transform_fn(model, body, content_type, accept): return body, accept\n"
    with tarfile.open(tmp_path / "model.tar.gz", "w:gz") as tar:
        for name in ("code/inference.py", "../../outside.py"):
            member = tarfile.TarInfo(name)
            member.size = len(code)
            tar.addfile(member, io.BytesIO(code))
    (tmp_path / "stream-infer.yaml").write_text(
        "state_dir: state\napis:\n  - {name: net, predictor: {type: sagemaker, model: model.tar.gz}}\n"
    )

    refused = run(tmp_path, "net", "texts")

    assert refused.returncode == 2
    assert "'../../outside.py' lies outside of the archive's own folder" in " ".join(refused.stderr.split())
    assert "Traceback" not in refused.stderr
    assert [path.name for path in tmp_path.rglob("*.py")] == []


# Says where its model lay and what was in it.
READING = """
from pathlib import Path
class Model:
    def __init__(self, config):
        path = Path(config["model"])
        files = sorted(path.iterdir()) if path.is_dir() else [path]
        self.model = {file.name: file.read_text() for file in files}
    def predict(self, items):
        return [{"text": item, "model": self.model} for item in items]
"""


def models_of(folder: Path, uri: str, **environment: str) -> list[Any]:
    """What each file's line says of the model, in one run into a file of its own."""
    name = f"{len(list(folder.glob('*.jsonl')))}.jsonl"
    done = run(folder, "reading.py:Model", "texts", "--model", uri, "--output", name, environment=environment)
    assert done.returncode == 0, done.stderr
    return [line["model"] for line in lines(folder / name)]


@pytest.fixture
def reading(tmp_path: Path) -> Path:
    write_texts(tmp_path / "texts", 3)
    (tmp_path / "reading.py").write_text(READING)
    return tmp_path


def test_a_model_comes_out_of_s3_as_a_file_or_a_folder_and_what_is_not_there_is_said(
    reading: Path, s3: S3Server
) -> None:
    client = s3.client()
    for key, data in {"net.txt": b"weights", "net/a.txt": b"first", "net/b.txt": b"second"}.items():
        client.put_object(Bucket=s3.bucket, Key=f"models/{key}", Body=data)
    at = f"s3://{s3.bucket}/models"

    assert models_of(reading, f"{at}/net.txt", **s3.environment()) == [{"net.txt": "weights"}] * 3
    assert models_of(reading, f"{at}/net/", **s3.environment()) == [{"a.txt": "first", "b.txt": "second"}] * 3
    gone = run(reading, "reading.py:Model", "texts", "--model", f"{at}/none.txt", environment=s3.environment())
    assert gone.returncode == 2
    assert f"{at}/none.txt cannot be fetched: there is no such object" in " ".join(gone.stderr.split())
    assert "Traceback" not in gone.stderr


def test_a_model_comes_out_of_an_mlflow_runs_folder_and_by_mlflows_client(reading: Path, tmp_path_factory) -> None:
    runs = make_mlruns(reading)
    files = {"MLmodel": "flavors: {}", "net.pt": "weights"}

    # Here is an mlruns folder; elsewhere its client is asked.
    assert models_of(reading, f"runs:/{runs.run}/model") == [files] * 3
    [artefacts] = runs.folder.glob(f"*/{runs.run}/artifacts/model")
    assert models_of(reading, str(artefacts.relative_to(reading) / "net.pt")) == [{"net.pt": "weights"}] * 3
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    for name in ("texts", "reading.py"):
        (reading / name).rename(elsewhere / name)
    fetched = models_of(elsewhere, "models:/net@champion", **runs.environment())
    assert [{name: model[name] for name in files} for model in fetched] == [files] * 3  # MLflow adds one of its own


def test_the_sentiment_of_reviews(tmp_path: Path) -> None:
    pytest.importorskip("vaderSentiment")
    reviews = ROOT / "examples" / "sentiment" / "reviews"

    done = run(ROOT, "examples/sentiment/model.py:Sentiment", str(reviews), "--output", str(tmp_path / "s.jsonl"))

    assert done.returncode == 0, done.stderr
    found = {Path(str(line["filepath"])).stem: line for line in lines(tmp_path / "s.jsonl")}
    assert len(found) == len(list(reviews.rglob("*.txt"))) == 20
    assert all(set(line) == {"time", "filepath", "logit_prob", "sentiment"} for line in found.values())
    for name, sentiment in {"castle": "positive", "station": "negative", "transit": "neutral"}.items():
        assert found[name]["sentiment"] == sentiment
    assert float(str(found["castle"]["logit_prob"])) > 0 > float(str(found["station"]["logit_prob"]))


def test_pictures_through_a_torchvision_model_of_a_configuration_file(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("efficientnet_lite_pytorch")
    from examples.image_classifier.pictures import BROKEN, PICTURES, collect

    collect(tmp_path / "pictures")
    config = ROOT / "examples" / "image_classifier" / "stream-infer.yaml"

    done = run(
        tmp_path, "image-classifier", "pictures", "top_k=1", "-f", str(config), "--excludes", "page.png", within_s=110
    )

    assert done.returncode == 1, done.stderr
    found = {Path(str(line["filepath"])).name: line for line in lines(tmp_path / "results.jsonl")}
    assert set(found) == set(PICTURES) - {"page.png"}
    assert found["cat.png"]["label"] in {"Egyptian cat", "tabby", "tiger cat"}
    assert found["coffee.png"]["label"] == "espresso"
    assert len(list(found["coffee.png"]["top"])) == 1  # type: ignore[call-overload]
    assert {Path(path).name for path in paths(tmp_path / "results.errors.jsonl")} == set(BROKEN)
