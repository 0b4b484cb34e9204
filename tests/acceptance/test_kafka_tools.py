"""What people have for Kafka, as it is: kcat and the console tools on a running `up`, by the page that shows them."""

import shlex
import shutil
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import orjson
import pytest

from stream_infer.clients import calls
from stream_infer.clients.gateway import Gateway
from stream_infer.dead_letters import read_dead_letter
from stream_infer.kafka.partitioner import partition_of
from stream_infer.kafka.topic_reader import TopicReader
from stream_infer.records import Message
from stream_infer.settings import KafkaSettings
from stream_infer.topics import Topics
from tests.support.described import faults
from tests.support.kafka_tools import CLASSES, console_tool, java_command, kcat
from tests.support.services import missing
from tests.support.shown_commands import ROOT, Reader
from tests.support.up_process import UpProcess, up_in, wait_for, write_config

SHOUTER = """
class Shouter:
    def __init__(self, config):
        self.mark = config.get("mark", "!")

    def predict(self, items):
        return [item["text"].upper() + self.mark for item in items]
"""
TOPICS = Topics("stream-infer")
API = TOPICS.api("shouter")
END_S = 60.0


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tools")


@pytest.fixture(scope="module")
def up(folder: Path) -> Iterator[UpProcess]:
    (folder / "model.py").write_text(SHOUTER)
    predictor = {"type": "native", "target": "model.py:Shouter"}
    retry = {"max_attempts": 2, "delays": [0.2]}
    config = write_config(folder, apis=[{"name": "shouter", "predictor": predictor, "partitions": 2, "retry": retry}])
    with up_in(folder, config) as up:
        up.wait_until_ready()
        yield up
        assert up.interrupt() == 0, up.text()


@pytest.fixture(scope="module")
def ready(up: UpProcess) -> dict[str, Any]:
    return up.wait_until_ready()


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kafka's bin/ on the PATH."""
    for script in CLASSES:
        file = tmp_path / script
        file.write_text(f'#!/bin/sh\nexec {shlex.join(java_command(script))} "$@"\n')
        file.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")


@pytest.mark.usefixtures("programs")
def test_what_the_page_shows_happens(folder: Path, ready: dict[str, Any]) -> None:
    kcat("-V")
    if shutil.which("curl") is None:
        missing("curl is not installed here: apt-get install curl")
    instead = {"127.0.0.1:9092": ready["bootstrap_servers"], "http://127.0.0.1:8080": ready["gateway"].rstrip("/")}

    Reader(folder, instead).follow((ROOT / "docs/kafka-tools.md").read_text())


def test_kcats_key_goes_where_ours_would(ready: dict[str, Any]) -> None:
    broker = ("-b", ready["bootstrap_servers"])
    keys = [f"murmur-{number}" for number in range(20)]
    lines = "\n".join(f'{key}|{{"text": "{key}"}}' for key in keys)
    kcat("-P", *broker, "-t", API.items, "-X", "topic.partitioner=murmur2_random", "-K|", stdin=lines)

    shown = kcat("-C", "-q", "-e", *broker, "-t", API.items, "-o", "beginning", "-f", "%k %p\n")
    mine = dict(line.split() for line in shown.splitlines() if line.startswith("murmur-"))

    assert mine == {key: str(partition_of(key, 2)) for key in keys}


def test_the_lag_of_an_apis_workers_comes_to_nothing(ready: dict[str, Any], up: UpProcess) -> None:
    broker = ("--bootstrap-server", ready["bootstrap_servers"])
    kcat("-P", "-b", ready["bootstrap_servers"], "-t", API.items, stdin='{"text": "x"}\n' * 50)

    def lags() -> dict[str, int]:
        """By topic and partition, as the table has them; none while one has a dash, for nothing is committed of it."""
        said = console_tool("kafka-consumer-groups.sh", *broker, "--describe", "--group", API.worker_group)
        rows = [line.split() for line in said.splitlines() if API.items in line]
        is_whole = all(row[5].isdigit() for row in rows)
        return {f"{row[1]}-{row[2]}": int(row[5]) for row in rows} if is_whole else {}

    found = wait_for(lambda: (now := lags()) and set(now.values()) == {0} and now, END_S, up.text)
    assert found == {f"{API.items}-0": 0, f"{API.items}-1": 0}
    ends = console_tool("kafka-get-offsets.sh", *broker, "--topic", API.items)
    assert {line.split(":")[0] for line in ends.split()} == {API.items}
    assert sum(int(line.split(":")[2]) for line in ends.split()) >= 50


def test_a_dead_letter_says_in_springs_words_where_it_lay(ready: dict[str, Any], up: UpProcess) -> None:
    kcat("-P", "-b", ready["bootstrap_servers"], "-t", API.items, "-k", "for-spring", stdin="{no json")

    def letter() -> Message | None:
        return next((one for one in records(ready, API.dlq) if one.key == b"for-spring"), None)

    found = wait_for(letter, END_S, up.text)
    headers = dict(found.headers)
    origin = read_dead_letter(found).origin
    # As DeadLetterPublishingRecoverer writes them: an int and longs, big-endian.
    assert headers["kafka_dlt-original-topic"] == origin.topic.encode() == API.items.encode()
    assert int.from_bytes(headers["kafka_dlt-original-partition"] or b"", "big") == origin.partition
    assert int.from_bytes(headers["kafka_dlt-original-offset"] or b"", "big") == origin.offset
    assert len(headers["kafka_dlt-original-offset"] or b"") == 8
    [item] = [one for one in records(ready, API.items) if one.key == b"for-spring"]
    assert int.from_bytes(headers["kafka_dlt-original-timestamp"] or b"", "big") == item.timestamp_ms
    assert headers["kafka_dlt-original-consumer-group"] == API.worker_group.encode()
    assert headers["kafka_dlt-exception-message"] == headers["__connect.errors.exception.message"]
    said = console_tool(
        "kafka-console-consumer.sh", "--bootstrap-server", ready["bootstrap_servers"], "--topic", API.dlq,
        "--from-beginning", "--isolation-level", "read_committed", "--timeout-ms", "60000",
        "--max-messages", str(len(records(ready, API.dlq))),
        "--formatter-property", "print.headers=true", "--formatter-property", "print.key=true",
    )  # fmt: skip
    assert "for-spring\t{no json" in said
    assert "__connect.errors.stage:decode" in said


def test_every_record_of_a_run_is_what_the_document_says_of_it(ready: dict[str, Any], up: UpProcess) -> None:
    with urllib.request.urlopen(f"{ready['gateway'].rstrip('/')}/asyncapi.json", timeout=10) as answer:
        document = orjson.loads(answer.read())
    items = [{"text": "good"}, {"txt": "no text"}]
    hook = {"url": "https://receiver.invalid/", "secret": "whsec_ZXhhbXBsZS1leGFtcGxlLWV4YW1wbGUtZXhhbXBsZSE="}
    spec = {"item_list": {"items": items}, "timeout": 50, "webhook": hook}
    with closing(Gateway(ready["gateway"])) as client:
        job = client.ask(calls.submit("shouter", spec, "key"))
        wait_for(lambda: client.ask(calls.job(job.job_id)).is_final, END_S, up.text)
        client.ask(calls.replay(f"jobs/{job.job_id}", {}))
        wait_for(lambda: (now := client.ask(calls.job(job.job_id))).generation == 2 and now.is_final, END_S, up.text)

    seen = {name: records(ready, name) for name in document["channels"]}

    said = {name: [fault for one in found for fault in faults(document, one)][:5] for name, found in seen.items()}
    assert {name: faulty for name, faulty in said.items() if faulty} == {}
    written = {name for name, found in seen.items() if found}
    assert {API.items, API.results, TOPICS.jobs, TOPICS.checkpoints, TOPICS.progress, TOPICS.status} <= written
    assert {TOPICS.manifests, TOPICS.logs, TOPICS.webhooks, TOPICS.replays, API.dlq, API.retry(1)} <= written


def records(ready: dict[str, Any], topic: str) -> list[Message]:
    """All that is on the topic now."""
    reader = TopicReader(KafkaSettings(bootstrap_servers=ready["bootstrap_servers"]), topic)
    found: list[Message] = []
    try:
        ends = reader.ends()
        while not reader.has_reached(ends):
            found.extend(reader.poll(0.2))
    finally:
        reader.close()
    return found
