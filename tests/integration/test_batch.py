"""A folder through the real engine."""

import json
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from connectors.folder import Choice, Folder
from stream_infer.batch.run import Interrupted, Wish
from stream_infer.batch.run_folder import Places
from stream_infer.batch.session import Batch, Session
from stream_infer.configuration.loading import settings_of
from stream_infer.engine.configured import predictor_spec
from stream_infer.errors import PredictorUnavailable, SourceError, StreamInferError, UsageError
from stream_infer.records import Payload

WORDS = Path(__file__).parents[1] / "predictors" / "words.py"


class Bench:
    """A folder of texts, and what has come of it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.texts = root / "texts"
        self.texts.mkdir()
        self.places = Places.beside(root / "out" / "results.jsonl")

    def write(self, name: str, text: str | bytes) -> None:
        path = self.texts / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode() if isinstance(text, str) else text)

    def batch(self, **overrides):
        values = {"apis": [{"name": "batch", "predictor": {"type": "native", "target": f"{WORDS}:Words"}}]}
        given = {"config.pause": 0, "retry.delays": [0.05]} | overrides
        flags = {
            f"apis.batch.{'predictor.' if name.startswith('config') else ''}{name}": value
            for name, value in given.items()
        }
        api = settings_of(values, self.root, {}, flags).apis[0]
        described = api.predictor.model_dump(mode="json")
        return Batch(api, predictor_spec(api.predictor), described, str(self.texts), self.places)

    def run(self, batch=None, wish=None, on_progress=lambda: None, includes=(), folder=None):
        with ExitStack() as closing:
            session = Session.open(batch or self.batch(), closing)
            folder = folder or Folder(self.texts, Choice(includes), max_bytes=1_000_000)
            lines = []
            session.run(folder, wish or Wish(), lines.append, on_progress)
            return session.progress

    def results(self):
        return [json.loads(line) for line in self.places.results.read_text().splitlines()]

    def errors(self):
        return [json.loads(line) for line in self.places.errors.read_text().splitlines()]

    def paths(self, lines):
        return [str(Path(line["filepath"]).relative_to(self.texts)) for line in lines]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_an_api_that_makes_an_instance_for_each_job_is_refused_once_and_made_for_no_file(bench):
    bench.write("a.txt", "a few words")
    (bench.root / "cortex.yaml").write_text("- {name: img, kind: BatchAPI, predictor: {type: python, path: p.py}}")
    (bench.root / "p.py").write_text("raise SystemExit('it was loaded')")
    command = [sys.executable, "-m", "stream_infer", "batch", "img", "texts", "-f", "cortex.yaml"]

    run = subprocess.run(command, cwd=bench.root, capture_output=True, text=True, timeout=60, check=False)

    assert run.returncode == 2
    assert "img makes an instance of its predictor for each job, and a folder is none" in run.stderr
    assert "it was loaded" not in run.stderr


def test_each_file_has_one_line_in_order_and_what_fails_fails_alone(bench):
    for number in range(100):
        bench.write(f"{number % 7}/{number:03}.txt", "a few words")
    bench.write("3/poison.txt", "poison for all of them")
    bench.write("4/crash.txt", "crash the process")
    bench.write("5/latin.txt", b"caf\xe9")
    bench.write("6/large.txt", "x" * 1_000_001)

    progress = bench.run()

    results, errors = bench.results(), {Path(line["filepath"]).name: line["error"] for line in bench.errors()}
    assert (progress.succeeded, progress.failed) == (100, 4)
    assert bench.paths(results) == sorted(f"{number % 7}/{number:03}.txt" for number in range(100))
    assert {line["words"] for line in results} == {3}
    assert {name: error["stage"] for name, error in errors.items()} == {
        "poison.txt": "predict",
        "crash.txt": "predict",
        "latin.txt": "decode",
        "large.txt": "fetch",
    }
    assert "poison in the batch" in errors["poison.txt"]["message"]
    assert "SIGSEGV" in errors["crash.txt"]["message"]
    assert "is not utf-8 text" in errors["latin.txt"]["message"]
    assert "the limit is 1,000,000" in errors["large.txt"]["message"]


def test_a_second_run_does_what_is_new_and_with_the_flag_what_had_failed(bench):
    bench.write("b.txt", "one two")
    bench.write("poison.txt", "poison")
    first = bench.run()
    bench.write("a.txt", "one two three")
    second = bench.run()
    mended = bench.batch(**{"config.mended": True})

    with pytest.raises(UsageError, match=r"config\.mended was 'not set' and is True.*--mix"):
        bench.run(mended)
    third = bench.run(replace(mended, mixes=True, retries_failed=True))

    assert (first.succeeded, first.failed) == (1, 1)
    assert (second.in_this_run, second.succeeded, second.failed) == (1, 2, 1)
    assert (third.in_this_run, third.succeeded, third.failed) == (1, 3, 0)
    assert bench.paths(bench.results()) == ["b.txt", "a.txt", "poison.txt"]
    assert not bench.places.errors.exists()
    assert "poison in the batch" in bench.places.retried.read_text()
    assert bench.run(replace(mended, overwrites=True)).in_this_run == 3
    assert bench.paths(bench.results()) == ["a.txt", "b.txt", "poison.txt"]


def test_interrupted_it_finishes_what_it_has_taken_and_goes_on_the_next_time(bench):
    for number in range(3000):
        bench.write(f"{number:04}.txt", "a b c")
    slow = bench.batch(**{"config.pause": 0.02})
    wish = Wish()

    def interrupt_soon():
        if bench.places.results.exists() and bench.places.results.stat().st_size:
            wish.drain or wish.interrupt()

    first = bench.run(slow, wish, interrupt_soon)
    assert 0 < first.done < 3000
    assert len(bench.results()) == first.done

    second = bench.run(slow)

    assert second.in_this_run == 3000 - first.done
    assert bench.paths(bench.results()) == [f"{number:04}.txt" for number in range(3000)]


def test_interrupted_twice_it_ends_at_once_and_what_is_written_counts(bench):
    for number in range(200):
        bench.write(f"{number:03}.txt", "a b c")
    slow = bench.batch(**{"config.pause": 0.5, "batching.max_batch_size": 10})
    wish = Wish()
    timer = threading.Timer(1.5, lambda: (wish.interrupt(), wish.interrupt()))
    timer.start()
    began = time.monotonic()

    with pytest.raises(Interrupted):
        bench.run(slow, wish)

    assert time.monotonic() - began < 9
    bench.run(replace(bench.batch(), mixes=True))
    assert bench.paths(bench.results()) == [f"{number:03}.txt" for number in range(200)]


def test_what_asks_to_come_again_comes_again(bench, tmp_path):
    bench.write("a.txt", "now")
    bench.write("later.txt", "later please")
    bench.write("z.txt", "now")

    progress = bench.run(bench.batch(**{"config.seen": str(tmp_path / "seen")}))

    assert (progress.succeeded, progress.failed) == (3, 0)
    assert bench.paths(bench.results()) == ["a.txt", "later.txt", "z.txt"]


def test_a_predictor_that_fails_file_after_file_ends_the_run_before_all_have_failed(bench):
    for number in range(4000):
        bench.write(f"{number:04}.txt", "a b c")

    with pytest.raises(
        StreamInferError, match=r"200 of the last 200 files failed in the predictor.*poison in the batch"
    ):
        bench.run(bench.batch(**{"config.fail_all": True}))

    assert 200 <= len(bench.errors()) < 4000
    assert bench.run(replace(bench.batch(), mixes=True, retries_failed=True)).succeeded == 4000


def test_a_predictor_that_cannot_be_loaded_leaves_nothing_but_its_reason(bench):
    bench.write("a.txt", "a b c")
    batch = bench.batch()

    with pytest.raises(PredictorUnavailable, match="has no 'Wrods'; did you mean Words"):
        bench.run(replace(batch, predictor=replace(batch.predictor, target=f"{WORDS}:Wrods")))

    assert bench.results() == []
    assert bench.run(batch).succeeded == 1


def test_globs_and_a_limit_choose_and_nothing_to_do_is_said(bench):
    for name in ("a.txt", "b.txt", "c.txt", "d.md"):
        bench.write(name, "a b c")

    assert bench.run(replace(bench.batch(), limit=2), includes=["*.txt"]).succeeded == 2
    assert bench.run(replace(bench.batch(), limit=2), includes=["*.txt"]).in_this_run == 0
    assert bench.run(includes=["*.txt"]).succeeded == 3
    with pytest.raises(SourceError, match="no file below"):
        bench.run(includes=["*.jpg"])


def test_results_in_the_folder_itself_are_no_input(bench):
    bench.write("a.txt", "a b c")
    bench.places = Places.beside(bench.texts / "results.jsonl")

    assert bench.run().succeeded == 1
    bench.write("b.txt", "a b c")
    assert bench.run().succeeded == 2
    assert bench.paths(bench.results()) == ["a.txt", "b.txt"]


def test_the_same_folder_by_another_name_is_gone_on_with_and_another_is_refused(bench, monkeypatch):
    bench.write("a.txt", "a b c")
    bench.run()
    bench.write("b.txt", "a b c")
    monkeypatch.chdir(bench.root)

    assert bench.run(replace(bench.batch(), directory="texts")).in_this_run == 1
    assert bench.paths(bench.results()) == ["a.txt", "b.txt"]
    with pytest.raises(UsageError, match=r"holds the results of .*/texts"):
        bench.run(replace(bench.batch(), directory=str(bench.root)))
    with pytest.raises(UsageError, match=r"belongs to the results in .*results\.jsonl"):
        bench.run(replace(bench.batch(), places=Places.beside(bench.root / "out" / "results")))


def test_the_same_name_in_another_place_is_another_folder_unless_the_first_was_moved(bench, monkeypatch):
    bench.write("a.txt", "a b c")
    monkeypatch.chdir(bench.root)
    here = replace(bench.batch(), directory="texts")
    bench.run(here)
    elsewhere = bench.root / "elsewhere"
    (elsewhere / "texts").mkdir(parents=True)
    (elsewhere / "texts" / "a.txt").write_text("another")
    monkeypatch.chdir(elsewhere)

    with pytest.raises(UsageError, match=r"not of .*/elsewhere/texts"):
        bench.run(here)

    moved = bench.root / "moved"
    moved.mkdir()
    bench.texts.rename(moved / "texts")
    monkeypatch.chdir(moved)
    bench.texts = moved / "texts"
    assert bench.run(here).in_this_run == 0


class Endless:
    """More files than a test can write."""

    def __init__(self, count: int) -> None:
        self.count = count

    def keys(self):
        return (b"%03d/%07d.txt" % (number // 1000, number) for number in range(self.count))

    def read(self, key):
        return Payload(b"a few words", "text/plain")


def test_many_files_take_no_more_memory_than_few_nor_does_going_on_behind_them(bench):
    me = psutil.Process()
    batch = bench.batch(**{"batching.max_batch_size": 256})
    bench.run(batch, folder=Endless(20_000))
    before = me.memory_info().rss

    bench.run(batch, folder=Endless(120_000))
    bench.run(batch, folder=Endless(121_000))

    grown = me.memory_info().rss - before  # before the test itself holds all lines
    assert len(bench.places.results.read_bytes().splitlines()) == 121_000
    assert grown < 12 * 2**20
