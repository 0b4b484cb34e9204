"""A worker on a real broker whose items fail, whose model breaks, and whose group changes."""

import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import orjson
import pytest

from stream_infer.dead_letters import read_dead_letter
from stream_infer.headers import item_headers
from stream_infer.jobs.events import Counted, Failed, Hindered, Unhindered
from stream_infer.jobs.status import Cause, State
from tests.integration.test_worker import Harness, worker
from tests.support.settings import predictor, settings_for

JOB = item_headers(job_id="j", item_id="j-0")


@pytest.fixture
def harness_for(bootstrap_servers: str, topic_prefix: str, tmp_path: Path) -> Callable[..., Harness]:
    def make(target: str, config: dict[str, Any], **api: Any) -> Harness:
        api = {"predictor": predictor(f"recovering.py:{target}", folder=str(tmp_path), **config), **api}
        return Harness(settings_for(bootstrap_servers, topic_prefix, tmp_path, api=api))

    return make


def calls(folder: Path) -> Counter[Any]:
    """How often each item was predicted, by whichever process."""
    lines = [line for file in folder.glob("calls-*") for line in file.read_text().splitlines()]
    return Counter(orjson.loads(line) for line in lines)


def test_a_transient_fault_costs_attempts_and_no_dead_letter(
    harness_for: Callable[..., Harness], tmp_path: Path
) -> None:
    harness = harness_for("Transient", {"times": 2})
    harness.produce(*range(6))

    with worker(harness.settings):
        results, letters = harness.ends(6)
        harness.wait_for_lag_zero()

    assert not letters
    assert sorted(int(message.value or b"") for message in results) == list(range(6))
    assert calls(tmp_path) == dict.fromkeys(range(6), 3)


def test_an_item_that_never_succeeds_is_a_dead_letter_after_its_last_attempt(
    harness_for: Callable[..., Harness], tmp_path: Path
) -> None:
    harness = harness_for("Transient", {"times": 99})
    harness.produce(7)

    with worker(harness.settings):
        _, [letter] = harness.ends(1)

    read = read_dead_letter(letter)
    assert calls(tmp_path) == {7: 3}
    assert read.item.attempt == 3
    assert read.origin.topic == harness.names.items
    assert "RetryableError" in read.failure.exception


def test_a_stop_ends_what_waits_in_a_tier_at_once(harness_for: Callable[..., Harness]) -> None:
    harness = harness_for("Transient", {"times": 99}, retry={"delays": [600.0]})
    harness.status()
    harness.produce(1, headers=JOB)

    with worker(harness.settings):
        harness.read_until(lambda got: len(got) == 1, harness.names.retry(1))
        began = time.monotonic()
        harness.status(cause=Cause.STOP, state=State.STOPPING)
        harness.events(lambda events: any(isinstance(one, Counted) and one.delta.skipped for one in events))
    assert time.monotonic() - began < 300


def test_a_model_that_cannot_be_loaded_says_so_to_its_jobs_and_loses_nothing(
    harness_for: Callable[..., Harness], tmp_path: Path
) -> None:
    broken = tmp_path / "broken"
    broken.touch()
    harness = harness_for("Breakable", {})
    harness.status()
    harness.produce(*range(5), headers=item_headers(job_id="j"))

    with worker(harness.settings, on_unavailable=lambda _: None):
        harness.events(lambda events: any(isinstance(one, Hindered) and "it is broken" in one.reason for one in events))
        broken.unlink()
        results, letters = harness.ends(5)
        harness.events(lambda events: any(isinstance(one, Unhindered) for one in events))

    assert (len(results), len(letters)) == (5, 0)


def test_a_model_that_breaks_halts_its_api_and_resumes(harness_for: Callable[..., Harness], tmp_path: Path) -> None:
    harness = harness_for("Breakable", {}, breaker={"window": 20}, retry={"max_attempts": 1})
    harness.status()
    with worker(harness.settings):
        harness.produce(*range(10), headers=item_headers(job_id="j"))
        harness.ends(10)
        (tmp_path / "broken").touch()
        harness.produce(*range(100, 200), headers=item_headers(job_id="j"))
        harness.events(lambda events: any(isinstance(one, Hindered) for one in events))
        (tmp_path / "broken").unlink()
        results, letters = harness.ends(110)

    # With a single attempt whatever failed before the window was full is a dead letter, and nothing after that.
    assert len(results) >= 90
    assert len(letters) <= 20


def test_a_job_of_bad_items_fails_alone(harness_for: Callable[..., Harness]) -> None:
    harness = harness_for("Picky", {}, breaker={"window": 20}, partitions=1, batching={"max_batch_size": 8})
    harness.status()
    harness.produce(*["bad"] * 60, headers=item_headers(job_id="j"))
    harness.produce(*["good"] * 5)

    with worker(harness.settings):
        events = harness.events(lambda events: any(isinstance(one, Failed) for one in events))
        results = harness.read_until(lambda got: len(got) == 5, harness.names.results)

    assert len(results) == 5
    [failed] = [one for one in events if isinstance(one, Failed)]
    assert failed.job_id == "j"
    assert "ValueError: a bad item" in failed.error


def test_one_to_four_workers_and_back_under_load_lose_and_double_and_recompute_nothing(
    harness_for: Callable[..., Harness], tmp_path: Path
) -> None:
    number = 1200
    harness = harness_for("Recording", {"pause": 0.05}, partitions=4, batching={"max_batch_size": 8})
    with ExitStack() as first, ExitStack() as others:
        first.enter_context(worker(harness.settings))
        harness.produce(*range(number))
        harness.read_until(lambda got: len(got) >= 50, harness.names.results)
        for _ in range(3):
            others.enter_context(worker(harness.settings))
        harness.read_until(lambda got: len(got) >= 600, harness.names.results)
        others.close()
        results, letters = harness.ends(number)
        harness.wait_for_lag_zero()

    assert not letters
    assert sorted(int(message.value or b"") for message in results) == list(range(number))
    assert {item: times for item, times in calls(tmp_path).items() if times > 1} == {}
