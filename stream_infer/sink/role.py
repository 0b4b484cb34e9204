"""The sink's process: the writer, the finalizer and what forgets, each on a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import MappingProxyType

import structlog

from stream_infer.errors import ServiceUnavailable
from stream_infer.kafka.admin import cluster_id
from stream_infer.kafka.definitions import Definitions
from stream_infer.pool import DaemonPool
from stream_infer.ports import Formats, Store
from stream_infer.settings import Settings
from stream_infer.sink.awaited import awaited_jobs
from stream_infer.sink.backoff import Backoff
from stream_infer.sink.finalizer import Finalizer
from stream_infer.sink.forgotten import ForgottenManifests
from stream_infer.sink.lines import Lines
from stream_infer.sink.metrics import SinkMetrics, held_readings, step_readings
from stream_infer.sink.outputs import OpenOutput, Outputs, ReadIds, no_ids, no_outputs
from stream_infer.sink.writer import Writer
from stream_infer.slots import hold_slot
from stream_infer.telemetry.exposure import Exposure
from stream_infer.telemetry.job_logs import job_log

log = structlog.get_logger(__name__)

_LOOK_EVERY_S = 0.1
_STORE_LOOK_S = 0.01
_END_WITHIN_S = 16.0  # the writer's own deadlines, and less than a supervisor's patience of 20 s


class Part(threading.Thread):
    """A part of the role; keeps the error that ended it."""

    def __init__(self, name: str, run: Callable[[threading.Event, Callable[[], None]], None]) -> None:
        super().__init__(name=name, daemon=True)
        self.ready = threading.Event()
        self.error: BaseException | None = None
        self.ending = threading.Event()
        self._run_part = run

    def run(self) -> None:
        try:
            self._run_part(self.ending, self.ready.set)
        except BaseException as error:  # noqa: BLE001 - raised by the main thread
            self.error = error


def run(
    settings: Settings,
    store: Store,
    lines: Lines,
    stop: threading.Event,
    on_ready: Callable[[], None],
    *,
    open_output: OpenOutput = no_outputs,
    read_ids: ReadIds = no_ids,
    formats: Formats = MappingProxyType({}),
    exposure: Exposure | None = None,
) -> None:
    """Sinks and finalizes until `stop`; `on_ready` once all parts serve. The error of one ends all.

    A store that cannot be reached, or refuses the credentials, is told and waited for. `open_output` opens the other
    places that jobs may have objects assembled in, `read_ids` reads the custom ids of a batch's requests; `formats`
    are those beside `lines`. `exposure` shows the sink's numbers and what it lacks. Raises ServiceUnavailable (Kafka,
    at the start), TopicMismatch or Fenced.
    """
    exposure = exposure or Exposure()
    exposure.missing = lambda: ["The store has not answered yet."]
    if not _wait_for_store(store, stop):
        return
    prefix, cluster = settings.kafka.topic_prefix, cluster_id(settings.kafka)
    slot = hold_slot(f"{prefix}.sink", cluster)
    try:
        # Held with the sink's slot: no other process of this host can come to the same number.
        name = f"{prefix}.finalizer{slot.name.removeprefix(f'{prefix}.sink')}"
        outputs = Outputs(settings, store, open_output, formats, read_ids)
        with (
            _followed(Definitions(settings)) as apis,
            job_log(settings.kafka, "sink", slot.name),
            awaited_jobs(settings.kafka) as awaited,
        ):
            metrics = SinkMetrics(lambda: apis.settings.names)
            finalizer = Finalizer(apis, store, name, outputs, metrics)
            writer = Writer(apis, store, lines, slot.name, awaited, formats, metrics)
            forgotten = ForgottenManifests(settings, finalizer.partitions)
            parts = [
                Part("sink-writer", writer.run),
                Part("sink-finalizer", finalizer.run),
                Part("sink-forgetting", forgotten.run),
            ]
            exposure.missing = lambda: _missing(parts)
            exposure.show(metrics.readings)
            exposure.show(lambda: held_readings(writer.held))
            exposure.show(lambda: step_readings(finalizer.attempts()))
            _supervise(parts, stop, on_ready)
    finally:
        slot.release()


@contextmanager
def _followed(definitions: Definitions) -> Iterator[Definitions]:
    definitions.start()
    try:
        yield definitions
    finally:
        definitions.close()


def _missing(parts: Sequence[Part]) -> list[str]:
    names = [part.name.removeprefix("sink-") for part in parts if not part.ready.is_set()]
    return [f"Its {name} has no share of its group yet." for name in names]


def _wait_for_store(store: Store, stop: threading.Event) -> bool:
    """False where `stop` came first."""
    pool, backoff = DaemonPool(1, "store"), Backoff()
    try:
        while not stop.is_set():
            asked = pool.submit(store.exists, "stream/_pending")
            while not asked.done() and not stop.wait(_STORE_LOOK_S):
                pass
            error = asked.exception() if asked.done() else None
            if not isinstance(error, ServiceUnavailable):
                return asked.done() and asked.result() is not None
            delay = backoff.failed(0.0)
            log.warning("store_unavailable", error=str(error), retry_in_s=delay)
            stop.wait(delay)
        return False
    finally:
        pool.close(0.0)


def _supervise(parts: list[Part], stop: threading.Event, on_ready: Callable[[], None]) -> None:
    """1: start; 2: watch until `stop` or until a part ends; 3: tell all to end, within a deadline."""
    for part in parts:
        part.start()
    ready = False
    try:
        while all(part.is_alive() for part in parts) and not stop.wait(_LOOK_EVERY_S):
            if not ready and all(part.ready.is_set() for part in parts):
                ready = True
                on_ready()
    finally:
        for part in parts:
            part.ending.set()
        for part in parts:
            part.join(_END_WITHIN_S)
            if part.is_alive():
                log.error("did_not_end", part=part.name, within_s=_END_WITHIN_S)
    for part in parts:
        if part.error is not None:
            raise part.error
