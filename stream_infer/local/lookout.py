"""`up`'s eyes: a process of its own that tells which APIs were deployed, and how much work lies before each whose
workers are scaled.

Not in `up` itself, which everything else ends with: librdkafka may crash the process that reads (DESIGN.md, 18).
Measured: it did, the first time that Kafka was killed under an `up` that read the jobs' rows.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from operator import attrgetter

from stream_infer.errors import StreamInferError
from stream_infer.jobs.status import JobStatus, decode_status
from stream_infer.kafka.definitions import Definitions
from stream_infer.kafka.following import Following
from stream_infer.kafka.lag import LagReader, Standing
from stream_infer.kafka.views import CompactedView
from stream_infer.local.sighting import encode_definitions, encode_sighting, sight
from stream_infer.local.supervision import worker_range
from stream_infer.settings import ApiSettings, Settings
from stream_infer.topics import Topics

LOOK_EVERY_S = 1.0
_AT_MOST_EVERY_S = 0.1


class _Watched:
    """An API and the reader of its workers' group. `is_quiet`: there was nothing to do when it was last looked at."""

    def __init__(self, settings: Settings, api: ApiSettings) -> None:
        names = Topics(settings.kafka.topic_prefix).api(api.name)
        self.name = api.name
        self.items = names.items
        self.is_quiet = True
        self._reader = LagReader(settings.kafka, names.worker_group, Following(names.items, names.tier_pattern))

    def stand(self) -> Standing | str:
        """May block for seconds."""
        try:
            return self._reader.read()
        except StreamInferError as error:
            return str(error)


def run(settings: Settings, to_fd: int, stop: threading.Event, on_ready: Callable[[], None]) -> None:
    """Writes sightings to `to_fd` until `stop`: once a second, and at once when a job comes to an API that was quiet;
    and all definitions at first, and when any of them has changed.

    Raises TopicMismatch or ServiceUnavailable (Kafka, at the start).
    """
    apis: list[_Watched] = []
    woken = threading.Event()

    def changed(_job_id: str, status: JobStatus | None) -> None:
        """On the view's thread."""
        if status is not None and any(api.name == status.api and api.is_quiet for api in apis):
            woken.set()

    topic = Topics(settings.kafka.topic_prefix).status
    definitions, seen = Definitions(settings, woken.set), None
    view = CompactedView(settings.kafka, topic, decode_status, changed, key_of=attrgetter("job_id"))
    definitions.begin()
    try:
        view.start()
        definitions.start()
        on_ready()
        while not stop.is_set():
            woken.clear()
            if seen is not definitions.settings:
                seen = definitions.settings
                # A lookout that was killed may have left a part of a line behind.
                if not _has_written(to_fd, b"\n" + encode_definitions(definitions.all())):
                    return
                apis[:] = _watched(settings, seen.apis, apis)
            for api in apis:
                sighting = sight(api.name, api.items, api.stand(), view.snapshot().values(), time.time())
                api.is_quiet = sighting.is_quiet
                if not _has_written(to_fd, encode_sighting(sighting)):
                    return
            stop.wait(_AT_MOST_EVERY_S)
            woken.wait(LOOK_EVERY_S - _AT_MOST_EVERY_S)
    finally:
        view.close()
        definitions.close()


def _watched(settings: Settings, apis: Sequence[ApiSettings], before: Sequence[_Watched]) -> list[_Watched]:
    """What was watched goes on with what it knows."""
    known = {one.name: one for one in before}
    return [known.get(api.name) or _Watched(settings, api) for api in apis if not _is_fixed(api)]


def _is_fixed(api: ApiSettings) -> bool:
    least, most = worker_range(api, None)
    return least == most


def _has_written(fd: int, data: bytes) -> bool:
    """False where nobody reads it any more."""
    try:
        while data:
            data = data[os.write(fd, data) :]
    except BrokenPipeError:
        return False
    return True
