"""A place of a job's owner that does not answer, or refuses, keeps nobody else's job from ending."""

import re
import threading
from collections.abc import Callable
from pathlib import Path

from connectors.formats import jsonl
from connectors.stores import DirectoryStore
from stream_infer.errors import ServiceUnavailable
from stream_infer.headers import item_headers, item_id_of
from stream_infer.jobs.assembling import Assemble
from stream_infer.jobs.counts import Counts
from stream_infer.jobs.events import Finalized, Hindered
from stream_infer.jobs.status import JobStatus, Phase, State, encode_status
from stream_infer.ports import Store
from stream_infer.records import OutgoingRecord
from stream_infer.sink.role import run
from tests.support.memory_store import MemoryStore
from tests.support.roles import running
from tests.support.settings import settings_for
from tests.support.sink_harness import Harness, until

AWAY, FORBIDDEN = "s3://away", "s3://ours/forbidden"
MORE_THAN_THREADS = 6


class BlackHole(MemoryStore):
    """Takes no object, and says nothing of it until `is_back`."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = threading.Semaphore(0)
        self.is_back = threading.Event()

    def put(self, key: str, data: bytes, content_type: str = "application/octet-stream") -> None:
        self.asked.release()
        self.is_back.wait()
        super().put(key, data, content_type)


class Refusing(MemoryStore):
    def put(self, key: str, data: bytes, content_type: str = "application/octet-stream") -> None:
        raise ServiceUnavailable("these credentials may not do that")


def test_places_that_do_not_answer_or_refuse_hold_up_only_the_jobs_that_write_there(
    bootstrap_servers: str, topic_prefix: str, tmp_path: Path
) -> None:
    # Given more jobs than a sink finalizes at a time, of which each waits for a place that is away or refuses it
    sink = {"flush_age": 0.5, "eof_linger": 0.2, "allowed_outputs": [AWAY, "s3://ours"]}
    settings = settings_for(bootstrap_servers, topic_prefix, tmp_path, sink=sink)
    harness = Harness(settings, DirectoryStore(tmp_path / "store"))
    hole, fine, forbidden = BlackHole(), MemoryStore(), Refusing()
    places: dict[str, Store] = {AWAY: hole, FORBIDDEN: forbidden, "s3://ours/fine": fine}
    waiting = [f"away-{n}" for n in range(MORE_THAN_THREADS)] + [f"forbidden-{n}" for n in range(MORE_THAN_THREADS)]

    def serve(stop: threading.Event, ready: Callable[[], None]) -> None:
        run(settings, harness.store, jsonl, stop, ready, open_output=places.__getitem__)

    def finalize(job_id: str, output: str | None) -> None:
        assemble = None if output is None else Assemble(separator="line", output=output, base="s3://in/")
        counts = Counts(sunk=1)
        status = JobStatus(job_id=job_id, api="echo", state=State.FINALIZING, phase=Phase.ASSEMBLE, counts=counts)
        status = status.model_copy(update={"assemble": assemble})
        harness.transact(OutgoingRecord(harness.topics.status, job_id.encode(), encode_status(status)))

    def result(job_id: str) -> OutgoingRecord:
        headers = item_headers(job_id=job_id, item_id=item_id_of(job_id, 0), source="s3://in/a.csv#line=1")
        return OutgoingRecord(harness.names.results, job_id.encode(), b"1", headers)

    def ended() -> set[str]:
        return {event.job_id for event in harness.events(Finalized)}

    harness.transact(*map(result, [*waiting, "own", "fine"]))
    try:
        with running(serve):
            until(lambda: len(harness.manifest()) == len(waiting) + 2, "all to be stored")
            for job_id in waiting:
                finalize(job_id, AWAY if job_id.startswith("away") else FORBIDDEN)
            assert hole.asked.acquire(timeout=45)

            # When jobs come that want nothing of those
            finalize("own", None)
            finalize("fine", "s3://ours/fine")

            # Then they end, and the others wait
            until(lambda: ended() == {"own", "fine"}, "the others to be finalized")
            assert fine.objects == {"a.csv.out": b"1\n"}

            # And they say what they wait for, once
            def said() -> dict[str, str]:
                return {event.job_id: event.reason for event in harness.events(Hindered)}

            until(lambda: said().keys() >= {f"forbidden-{n}" for n in range(MORE_THAN_THREADS)}, "these to say why")
            assert said().keys().isdisjoint({"own", "fine"})
            words = re.compile(
                r"the sink waits for s3://ours/forbidden since \S+Z, 15 min at most: these credentials may.*"
            )
            assert all(words.fullmatch(reason) for reason in said().values())
            assert len(harness.events(Hindered)) == len(said())

            # And when a place is back, those that wait for it end
            hole.is_back.set()
            until(lambda: ended() >= {job_id for job_id in waiting if job_id.startswith("away")}, "these to end")
            assert not any(job_id.startswith("forbidden") for job_id in ended())
    finally:
        hole.is_back.set()
