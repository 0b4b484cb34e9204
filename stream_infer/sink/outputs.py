"""Where a job's objects are assembled: below its own folder in the store, or at a place of its owner's; and the answers
to a batch, which lie below its folder."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from types import MappingProxyType
from typing import TypeAlias

from stream_infer.errors import ConfigError, SourceError
from stream_infer.jobs.assembling import FOLDER, allowed_place
from stream_infer.jobs.batches import ERRORS, OUTPUT, answers_name
from stream_infer.jobs.manifest import Assembled, Kind, ManifestRecord, job_folder
from stream_infer.jobs.merge import blocks, merge_objects
from stream_infer.jobs.status import JobStatus
from stream_infer.jobs.stored_results import StoredResults
from stream_infer.ports import Formats, Store
from stream_infer.settings import Settings
from stream_infer.sink.answers import error_lines, errors_of_early_end, output_lines, untold_lines
from stream_infer.sink.assembled import BLOCK_BYTES, Wanted, assemble_objects
from stream_infer.sink.assembly import Check
from stream_infer.sink.flush import JSONL
from stream_infer.sink.lanes import Lanes
from stream_infer.sink.puts import AT_A_TIME, OutputUnavailable, Puts
from stream_infer.topics import Topics

OpenOutput: TypeAlias = Callable[[str], Store]
"""The store at s3://bucket/prefix or file:///directory. Raises ConfigError."""
ReadIds: TypeAlias = Callable[[str], Iterator[str | None]]
"""The custom ids of the requests in the file at an address, in their order; None of a line that is none.

Raises SourceError or ServiceUnavailable.
"""
PATIENCE_S = 900.0
"""With a place that is not the store's own: a bucket that is not there would keep its job from ever ending."""


def no_outputs(place: str) -> Store:
    raise ConfigError(f"this sink writes to no other place than its store, and not to {place}")


def no_ids(uri: str) -> Iterator[str | None]:
    raise SourceError(f"this sink reads no file of requests, and not {uri}")


class Outputs:
    """Any thread may make them."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        open_output: OpenOutput,
        formats: Formats = MappingProxyType({}),
        read_ids: ReadIds = no_ids,
    ) -> None:
        self._settings = settings
        self._store = store
        self._open = open_output
        self._read_ids = read_ids
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
        if status.requests is not None:
            return self._answer(status, records, check)
        if status.assemble is None:
            return None, None
        output = status.assemble.output
        if output is None:
            folder = job_folder(status.api, status.job_id) + FOLDER
            made = self._assemble(status, records, check, self._store, folder)
            return made.model_copy(update={"output": self._uri(folder)}), None
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

    def _answer(
        self, status: JobStatus, records: Sequence[ManifestRecord], check: Check
    ) -> tuple[Assembled, str | None]:
        """The files of a batch. One in which nothing would stand is not there, also where an earlier generation had it.

        A file of requests that cannot be read any more, by which alone those that were not run are known, costs their
        lines. One says so in their place, or the batch would name a file of errors that is not there.
        """
        folder, faults = job_folder(status.api, status.job_id) + FOLDER, list[str]()
        puts = Puts(self._store, folder, self._lanes.of(None), check, is_own=True)
        made = 0
        try:
            for kind, lines in self._answers(status, records, faults):
                first = next(lines, None)
                if first is None:
                    check()
                    self._store.delete(folder + answers_name(kind))
                    continue
                puts.put(answers_name(kind), blocks(chain((first,), lines), BLOCK_BYTES), JSONL)
                made += 1
            puts.settle()
        finally:
            puts.give_up()
        return Assembled(output=self._uri(folder), objects=made), next(iter(faults), None)

    def _answers(
        self, status: JobStatus, records: Sequence[ManifestRecord], faults: list[str]
    ) -> Iterator[tuple[str, Iterator[bytes]]]:
        results, errors = ([one for one in records if one.kind is kind] for kind in (Kind.RESULTS, Kind.ERRORS))
        job_id, read = status.job_id, self._results.lines
        yield OUTPUT, output_lines(merge_objects(results, read), job_id, lambda uri: self._referenced(status.api, uri))
        if (cause := status.ends_early) is None:
            yield ERRORS, error_lines(merge_objects(errors, read), job_id)
        else:
            ids = self._ids(status.requests or "", faults)
            told = errors_of_early_end(merge_objects(records, read), ids, job_id, cause)
            yield ERRORS, chain(told, untold_lines(faults, job_id))  # by then `faults` has what reading the ids came to

    def _uri(self, folder: str) -> str:
        """Of what is no key itself."""
        return f"{self._store.uri(folder.rstrip('/'))}/"

    def _ids(self, uri: str, faults: list[str]) -> Iterator[str | None]:
        try:
            yield from self._read_ids(uri)
        except SourceError as error:
            faults.append(f"which of the requests were not run cannot be told: {error}")

    def _referenced(self, api: str, uri: str) -> bytes | None:
        """Of an output that no message could carry: such an address the API's own workers have written."""
        key = f"_payloads/results/{Topics(self._settings.kafka.topic_prefix).api(api).items.removesuffix('items')}"
        start = self._store.uri(key)
        return self._store.get(key + uri.removeprefix(start)) if uri.startswith(start) else None
