"""Where a job's objects are assembled: below its own folder in the store, or at a place of its owner's."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from types import MappingProxyType
from typing import TypeAlias

from stream_infer.errors import ConfigError
from stream_infer.jobs.assembling import FOLDER, allowed_place
from stream_infer.jobs.manifest import Assembled, ManifestRecord, job_folder
from stream_infer.jobs.merge import merge_objects
from stream_infer.jobs.status import JobStatus
from stream_infer.jobs.stored_results import StoredResults
from stream_infer.ports import Formats, Store
from stream_infer.settings import Settings
from stream_infer.sink.assembled import Wanted, assemble_objects
from stream_infer.sink.assembly import Check
from stream_infer.sink.lanes import Lanes
from stream_infer.sink.puts import AT_A_TIME, OutputUnavailable, Puts
from stream_infer.topics import Topics

OpenOutput: TypeAlias = Callable[[str], Store]
"""The store at s3://bucket/prefix or file:///directory. Raises ConfigError."""
PATIENCE_S = 900.0
"""With a place that is not the store's own: a bucket that is not there would keep its job from ever ending."""


def no_outputs(place: str) -> Store:
    raise ConfigError(f"this sink writes to no other place than its store, and not to {place}")


class Outputs:
    """Any thread may make them."""

    def __init__(
        self, settings: Settings, store: Store, open_output: OpenOutput, formats: Formats = MappingProxyType({})
    ) -> None:
        self._settings = settings
        self._store = store
        self._open = open_output
        self._lanes = Lanes(AT_A_TIME, "assemble", settings.sink.allowed_outputs)
        self.formats = formats
        self._results = StoredResults(store, formats)

    def make(
        self, status: JobStatus, records: Sequence[ManifestRecord], check: Check, away_since: float | None
    ) -> tuple[Assembled | None, str | None]:
        """What was assembled of the job's objects, and why it was not, for good.

        None of both where it wants nothing. `away_since`: when its place was first found away, in monotonic seconds.
        Raises Abandoned, ServiceUnavailable where the store is away, and OutputUnavailable where the place is, which is
        to be tried again.
        """
        if status.assemble is None:
            return None, None
        output = status.assemble.output
        if output is None:
            folder = job_folder(status.api, status.job_id) + FOLDER
            made = self._assemble(status, records, check, self._store, folder)
            return made.model_copy(update={"output": self._store.uri(folder)}), None
        if allowed_place(output, self._settings.sink.allowed_outputs) is None:
            return None, f"nothing is assembled at {output}: it is not below one of sink.allowed_outputs any more"
        try:
            made = self._assemble(status, records, check, self._open(output), "")
            return made.model_copy(update={"output": output}), None
        except ConfigError as error:
            return None, f"nothing is assembled at {output}: {error}"
        except OutputUnavailable as error:
            if away_since is None or time.monotonic() < away_since + PATIENCE_S:
                raise
            return None, f"not all is assembled at {output}, after {PATIENCE_S:.0f} s of trying: {error}"

    def _assemble(
        self, status: JobStatus, records: Sequence[ManifestRecord], check: Check, target: Store, folder: str
    ) -> Assembled:
        assert status.assemble

        wanted = Wanted(
            status.job_id, status.assemble, status.ends_early is not None, lambda uri: self._referenced(status.api, uri)
        )
        puts = Puts(target, folder, self._lanes.of(status.assemble.output), check, is_own=target is self._store)
        try:
            made = assemble_objects(merge_objects(records, self._results.lines), wanted, puts.put)
            puts.settle()
        finally:
            puts.give_up()
        return Assembled(objects=made.objects - puts.refused, left_out=made.left_out + puts.refused)

    def _referenced(self, api: str, uri: str) -> bytes | None:
        """Of an output that no message could carry: such an address the API's own workers have written."""
        key = f"_payloads/results/{Topics(self._settings.kafka.topic_prefix).api(api).items.removesuffix('items')}"
        start = self._store.uri(key)
        return self._store.get(key + uri.removeprefix(start)) if uri.startswith(start) else None
