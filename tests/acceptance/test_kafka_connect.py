"""An API's results by Kafka Connect, beside our sink: connectors/kafka_connect on a real worker."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic
from pyiceberg.table import StaticTable

from stream_infer.clients import calls
from stream_infer.clients.gateway import Gateway
from stream_infer.jobs.status import State
from stream_infer.kafka.topic_reader import TopicReader
from stream_infer.records import Message
from stream_infer.settings import KafkaSettings
from stream_infer.topics import Topics
from tests.support.connect import connect_worker
from tests.support.up_process import UpProcess, up_in, wait_for, write_config

API = Topics("stream-infer").api("echo")
CONTROL = "control-iceberg"
ITEMS = 40
END_S = 60.0
CONNECT_S = 120.0


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[UpProcess]:
    folder = tmp_path_factory.mktemp("connect")
    with up_in(folder, write_config(folder)) as up:
        up.wait_until_ready()
        yield up
        assert up.interrupt() == 0, up.text()


@pytest.fixture(scope="module")
def bootstrap(up: UpProcess) -> str:
    return str(up.wait_until_ready()["bootstrap_servers"])


@pytest.fixture(scope="module")
def job_id(up: UpProcess, bootstrap: str) -> str:
    """A job that our sink has stored, items without a job, and a result that a worker has aborted."""
    with closing(Gateway(up.wait_until_ready()["gateway"])) as client:
        job = client.ask(calls.submit("echo", {"item_list": {"items": [{"n": n} for n in range(ITEMS)]}}, "a key"))
        wait_for(lambda: client.ask(calls.job(job.job_id)).is_final, END_S, up.text)
        assert client.ask(calls.job(job.job_id)).state == State.SUCCEEDED
    producer = Producer({"bootstrap.servers": bootstrap})
    for item in ("text", ["a", "list"], 1.5):
        said: list[tuple[str, str | bytes | None]] = [("si-source", b"s3://b/k#1"), ("si-custom-id", b"mine")]
        producer.produce(API.items, json.dumps(item), key="free", headers=said)
    producer.flush()
    aborting = Producer({"bootstrap.servers": bootstrap, "transactional.id": "aborting"})
    aborting.init_transactions()
    aborting.begin_transaction()
    headers: list[tuple[str, str | bytes | None]] = [("si-item-id", b"aborted"), ("content-type", b"application/json")]
    aborting.produce(API.results, b'"aborted"', headers=headers)
    aborting.flush()
    aborting.abort_transaction()
    return job.job_id


def expected() -> Counter[str]:
    """The outputs, which of `echo` are the inputs."""
    return Counter([*(json.dumps({"n": n}) for n in range(ITEMS)), '"text"', '["a", "list"]', "1.5"])


def normal(output: str) -> str:
    return json.dumps(json.loads(output))


def test_the_file_sink_writes_each_result_as_a_line(bootstrap: str, job_id: str, tmp_path: Path) -> None:
    file = tmp_path / "results.jsonl"
    variables = {"RESULTS_TOPIC": API.results, "RESULTS_FILE": str(file)}

    def lines() -> Counter[str]:
        return Counter(map(normal, file.read_text().splitlines())) if file.exists() else Counter()

    with connect_worker(tmp_path, "file.properties", bootstrap, variables) as worker:
        wait_for(lambda: lines().total() >= expected().total(), CONNECT_S, worker.text, worker.runs)

    assert lines() == expected()


@pytest.mark.timeout(500)
def test_the_iceberg_sink_writes_each_result_once_though_its_worker_is_killed_before_and_after_a_commit(
    bootstrap: str, job_id: str, tmp_path: Path
) -> None:
    admin = AdminClient({"bootstrap.servers": bootstrap})
    admin.create_topics([NewTopic(CONTROL, 1, 1)])[CONTROL].result()
    warehouse = tmp_path / "warehouse"
    variables = {
        "RESULTS_TOPIC": API.results,
        "ICEBERG_TABLE": "echo.results",
        "ICEBERG_WAREHOUSE": f"file://{warehouse}",
        "ICEBERG_CONTROL_TOPIC": CONTROL,
        "ICEBERG_COMMIT_MS": "2000",
    }
    with connect_worker(tmp_path, "iceberg.properties", bootstrap, variables) as worker:
        with closing(TopicReader(KafkaSettings(bootstrap_servers=bootstrap), CONTROL)) as told:
            wait_for(lambda: names_a_data_file(told.poll(0.05)), CONNECT_S, worker.text, worker.runs)
        worker.kill()
    print(f"in the table when its worker was killed: {len(rows(warehouse))}")
    with connect_worker(tmp_path, "iceberg.properties", bootstrap, variables) as worker:
        wait_for(lambda: len(rows(warehouse)) >= expected().total(), CONNECT_S, worker.text, worker.runs)
        worker.kill()
    late = Producer({"bootstrap.servers": bootstrap})
    late.produce(API.items, b'{"late": true}', headers=[("si-item-id", b"late")])
    late.flush()
    with connect_worker(tmp_path, "iceberg.properties", bootstrap, variables) as worker:
        wait_for(lambda: "late" in items_of(rows(warehouse)), CONNECT_S, worker.text, worker.runs)

    found = rows(warehouse)
    assert Counter(normal(row["output"]) for row in found) == expected() + Counter(['{"late": true}'])
    assert set(items_of(found).values()) == {1}
    of_job = [row for row in found if row["job_id"] == job_id]
    assert {row["item_id"] for row in of_job} == {f"{job_id}-{n}" for n in range(ITEMS)}
    assert {row["job_id"] for row in found} == {job_id, ""}
    assert {row["custom_id"] for row in of_job} == {""}
    [text] = [row for row in found if row["output"] == '"text"']
    assert (text["source"], text["custom_id"], text["content_type"]) == ("s3://b/k#1", "mine", "application/json")
    assert text["item_id"].startswith(f"{API.items}-")
    assert len({(row["kafka_partition"], row["kafka_offset"]) for row in found}) == len(found)


def names_a_data_file(told: Sequence[Message]) -> bool:
    """Of the control topic: what a task has written, and the coordinator is to commit next."""
    return any(b".parquet" in (message.value or b"") for message in told)


def items_of(found: list[dict[str, Any]]) -> Counter[str]:
    return Counter(row["item_id"] for row in found)


def rows(warehouse: Path) -> list[dict[str, Any]]:
    """Of the table as its newest metadata has it; none while there is no snapshot."""
    versions = list((warehouse / "echo" / "results" / "metadata").glob("v*.metadata.json"))
    if not versions:
        return []
    newest = max(versions, key=lambda file: int(file.name.removeprefix("v").partition(".")[0]))
    return list(StaticTable.from_metadata(str(newest)).scan().to_arrow().to_pylist())
