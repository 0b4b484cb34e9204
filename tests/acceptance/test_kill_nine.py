"""A job survives `kill -9` of its worker, its sink and its intake at random moments: no item is lost, none comes twice.

Seen from outside: by reading the topics as any consumer would, and the objects that the manifest names.
"""

import json
import os
import random
import signal
import urllib.request
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from connectors.stores import open_store
from stream_infer.configuration import load_settings
from stream_infer.kafka.groups import group_lag
from stream_infer.kafka.topic_reader import TopicReader
from stream_infer.records import Message
from stream_infer.settings import Settings
from stream_infer.topics import Topics
from tests.support.gateway import seen
from tests.support.settings import predictor
from tests.support.up_process import UpProcess, up_in, wait_for, write_config

ITEMS = 2000
POISON = 37  # every so many-th item
KILLS_EACH = 2
VICTIMS = ("worker", "sink", "intake")
SEED = int(os.environ.get("SEED", "20261121"))


@pytest.fixture
def up(tmp_path: Path) -> Iterator[UpProcess]:
    api = {
        "name": "steady",
        "partitions": 4,
        "predictor": predictor("steady.py:Steady", pause=0.05),
        "batching": {"max_batch_size": 16},
        "workers": {"min": 2, "max": 2},
    }
    changes = {"kafka": {"session_timeout": 6}, "sink": {"flush_age": 1.0, "eof_linger": 0.2}, "apis": [api]}
    with up_in(tmp_path, write_config(tmp_path, **changes)) as process:
        yield process
        descendants = process.descendants()
        assert process.interrupt() == 0, process.text()
        assert not [pid for pid in descendants if psutil.pid_exists(pid)]


def call(url: str, body: Any = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.loads(answer.read())


def kill_one(up: UpProcess, role: str) -> bool:
    """Kills one process of the role; False while none is there (it is being started again)."""
    mine = [process for process in psutil.Process(up.process.pid).children(recursive=True) if is_role(process, role)]
    if not mine:
        return False
    os.kill(random.choice(mine).pid, signal.SIGKILL)
    return True


def is_role(process: psutil.Process, role: str) -> bool:
    try:
        words = process.cmdline()
    except psutil.Error:
        return False
    return "stream_infer" in words and role in words and not any(word.endswith("leash.py") for word in words)


def read_all(settings: Settings, topic: str) -> list[Message]:
    reader = TopicReader(settings.kafka, topic)
    try:
        return reader.read_to_end()
    finally:
        reader.close()


def ids(messages: list[Message]) -> Counter[str]:
    return Counter((dict(message.headers)["si-item-id"] or b"").decode() for message in messages)


def test_two_thousand_items_end_exactly_once_whoever_is_killed(up: UpProcess, tmp_path: Path) -> None:
    print(f"SEED={SEED}")
    ready = up.wait_until_ready()
    items = [{"n": n, "poison": n % POISON == 0} for n in range(ITEMS)]
    job = call(f"{ready['gateway']}/v1/apis/steady/jobs", {"item_list": {"items": items}})
    itself = ready["gateway"] + job["links"]["self"]

    chance = random.Random(SEED)
    schedule = sorted((chance.randrange(20, ITEMS - 200), victim) for victim in VICTIMS * KILLS_EACH)
    for ended, victim in schedule:
        wait_for(lambda ended=ended: ended_items(itself) >= ended, 120.0, up.text)
        wait_for(lambda victim=victim: kill_one(up, victim), 30.0, up.text)
    wait_for(lambda: (found := seen(itself)) and found["is_final"], 180.0, up.text)

    status = call(itself)
    poisoned = {f"{job['job_id']}-{n}" for n in range(0, ITEMS, POISON)}
    everything = {f"{job['job_id']}-{n}" for n in range(ITEMS)}
    assert status["state"] == "completed_with_failures"
    assert status["counts"]["succeeded"] == ITEMS - len(poisoned)
    assert status["counts"]["rejected"] == len(poisoned)

    settings = load_settings(
        tmp_path / "stream-infer.yaml", {"STREAM_INFER__KAFKA__BOOTSTRAP_SERVERS": ready["bootstrap_servers"]}
    )
    topics = Topics(settings.kafka.topic_prefix)
    names = topics.api("steady")
    assert ids(read_all(settings, names.results)) == Counter(everything - poisoned)
    assert ids(read_all(settings, names.dlq)) == Counter(poisoned)

    assert in_committed_objects(settings, status) == Counter(everything)
    wait_for(lambda: not any(lags(settings, topics).values()), 30.0, lambda: str(lags(settings, topics)))


def ended_items(url: str) -> int:
    found = seen(url)
    return int(found["counts"]["succeeded"] + found["counts"]["rejected"]) if found else 0


def in_committed_objects(settings: Settings, status: dict[str, Any]) -> Counter[str]:
    """The items in the objects that `manifest.json` names, which are all objects of the job, and one `_SUCCESS`."""
    store = open_store(settings.store)
    prefix = f"steady/{status['job_id']}/"
    manifest = json.loads(store.get(f"{prefix}manifest.json"))
    named = [entry["key"] for entry in manifest["objects"]]
    there = [entry.key for entry in store.list(prefix)]
    assert sorted(there) == sorted([*named, f"{prefix}manifest.json", f"{prefix}_SUCCESS"])
    lines = [line for key in named for line in store.get(key).splitlines()]
    return Counter(json.loads(line)["item_id"] for line in lines)


def lags(settings: Settings, topics: Topics) -> dict[str, int]:
    """Each group's lag over all its partitions. Faust commits last+1, so a marker may stand behind the tracker's."""
    names = topics.api("steady")
    groups = {
        names.worker_group: [names.items],
        topics.sink_group: [names.results, names.dlq],
        topics.finalizer_group: [topics.status],
    }
    return {group: sum(group_lag(settings, group, read).values()) for group, read in groups.items()}
