"""One run of a batch from its files' opening to their closing."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import structlog

from stream_infer.batch.judgement import Alarm, Attempts
from stream_infer.batch.naming import Naming, chosen, keys_below
from stream_infer.batch.reading import Reader, ReadLimits
from stream_infer.batch.run import BatchLoop, Files, Interrupted, Wish
from stream_infer.batch.run_folder import Places, differences, read_config, write_config
from stream_infer.batch.written import LinesFile, done_keys, undone
from stream_infer.engine.configured import engine_policy
from stream_infer.engine.engine import Engine
from stream_infer.errors import StreamInferError, UsageError
from stream_infer.heap import keep_freed_memory
from stream_infer.predictors.spec import PredictorSpec
from stream_infer.records import Payload
from stream_infer.settings import ApiSettings

_LOG = structlog.get_logger(__name__)
_READERS = 4
# As many micro-batches as keep the model busy while the others are read and written; the largest that is searched for
# is 1,024 items.
_BATCHES_AHEAD = 8
_FEWEST_AHEAD = 1024
_CLOSE_S = 10.0
# Of Python's threads. Each call that reads a file lets go of the lock, and waits as long for it as another thread is
# busy: measured with 50,000 texts of 45 bytes and a null model, 12,700 a second at Python's own 5 ms, 20,100 at this.
_TURN_S = 0.0005


class Folder(Protocol):
    """What is read. Keys come sorted; `read` may be called from several threads."""

    def keys(self) -> Iterator[bytes]: ...

    def read(self, key: bytes) -> Payload: ...


@dataclass(frozen=True, slots=True)
class Batch:
    """What is wanted. `described` is the predictor as the configuration has it: results of two do not mix.

    `directory` is as the user wrote it. `limit`: of the folder's files, the first so many.
    """

    api: ApiSettings
    predictor: PredictorSpec
    described: Mapping[str, Any]
    directory: str
    places: Places
    limit: int | None = None
    command: str = ""
    retries_failed: bool = False
    overwrites: bool = False
    mixes: bool = False


@dataclass(slots=True)
class Progress:
    """How far it is. Of all runs together: `succeeded` and `failed` are lines, `total` is None until it is counted.

    `before` are the lines that earlier runs have left.
    """

    results: LinesFile
    errors: LinesFile
    before: int = 0
    total: int | None = None
    began: float = field(default_factory=time.monotonic)

    @property
    def succeeded(self) -> int:
        return self.results.count

    @property
    def failed(self) -> int:
        return self.errors.count

    @property
    def done(self) -> int:
        return self.succeeded + self.failed

    @property
    def in_this_run(self) -> int:
        return self.done - self.before

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.began


class Session:
    """Opened by `open`, run once; what it holds is closed by the ExitStack that `open` is given."""

    def __init__(self, batch: Batch, results: LinesFile, errors: LinesFile, naming: Naming) -> None:
        self._batch = batch
        self._files = Files(results, errors, naming.path_of)
        self._naming = naming
        self.progress = Progress(results, errors, before=results.count + errors.count)

    @classmethod
    def open(cls, batch: Batch, closing: ExitStack) -> Session:
        """Makes the run's folder and finds out what is done. Raises UsageError; changes nothing then."""
        places = batch.places
        results = LinesFile.open(places.results)
        closing.callback(results.close)
        errors = LinesFile.open(places.errors)
        closing.callback(errors.close)
        before = {} if batch.overwrites else read_config(places.config)
        if batch.overwrites:
            results.empty()
            errors.empty()
        _refuse_anothers(batch, before)
        naming = Naming(_spelling(batch, before))
        for file in (results, errors):
            file.scan(naming.key_of)
        _refuse_mixture(batch, before, results.count + errors.count)
        if batch.retries_failed and errors.count:
            _take_up_again(errors, places)
        places.folder.mkdir(parents=True, exist_ok=True)
        write_config(places.config, _config(batch, naming))
        results.stays = True  # also where every file has failed
        return cls(batch, results, errors, naming)

    def run(self, folder: Folder, wish: Wish, on_line: Callable[[str], None], on_progress: Callable[[], None]) -> bool:
        """Whether every file is done; else `wish` has ended it. Raises what BatchLoop.run raises."""
        keep_freed_memory()
        batch = self._batch
        own = keys_below(Path(batch.directory), (batch.places.results, batch.places.errors, batch.places.folder))
        self._count(lambda: chosen(folder.keys(), own, batch.limit))
        files = (self._files.results, self._files.errors)
        todo = undone(chosen(folder.keys(), own, batch.limit), done_keys(files, self._naming.key_of))
        policy = engine_policy(batch.api.batching)
        engine = Engine(batch.predictor, policy, on_line=on_line)
        limits = ReadLimits(
            threads=_READERS,
            files=max(_FEWEST_AHEAD, _BATCHES_AHEAD * policy.max_batch_size),
            size=batch.api.workers.max_in_flight_bytes,
        )
        reader = Reader(todo, folder.read, limits, engine.wake)
        loop = BatchLoop(
            engine=engine,
            reader=reader,
            files=self._files,
            attempts=Attempts.of(batch.api.retry),
            alarm=Alarm(batch.api.breaker),
            wish=wish,
            on_progress=on_progress,
        )
        wish.on_change = engine.wake
        _LOG.info("batch_begins", directory=batch.directory, results=str(batch.places.results), done=self.progress.done)
        patience = 0.0
        before = sys.getswitchinterval()
        sys.setswitchinterval(_TURN_S)
        try:
            engine.start()
            reader.start()
            loop.run()
            patience = _CLOSE_S
            return reader.reached_end
        except (StreamInferError, Interrupted) as error:
            _LOG.error("batch_ends_early", reason=str(error) or "interrupted")
            raise
        finally:
            reader.stop()
            engine.close(patience)
            sys.setswitchinterval(before)
            progress = self.progress
            _LOG.info("batch_ends", succeeded=progress.succeeded, failed=progress.failed, seconds=progress.seconds)

    def _count(self, keys: Callable[[], Iterator[bytes]]) -> None:
        """Beside the work: a folder of a million files takes seconds to be counted, and nothing waits for it."""

        def count() -> None:
            try:
                self.progress.total = sum(1 for _ in keys())
            except StreamInferError:
                return  # whoever reads the folder says so

        threading.Thread(target=count, name="count", daemon=True).start()


def _refuse_anothers(batch: Batch, before: Mapping[str, Any]) -> None:
    """r.jsonl and r would share what stands beside them."""
    owner = before.get("results")
    if isinstance(owner, str) and Path(owner).name != batch.places.results.name:
        raise UsageError(f"{batch.places.folder} belongs to the results in {owner}: give another --output")


def _spelling(batch: Batch, before: Mapping[str, Any]) -> str:
    """The folder as the first run had it, where it is the same or was moved. Raises UsageError where it is another:
    its files of the same names would be taken for done."""
    spelt, real = before.get("directory"), before.get("real_directory")
    if not isinstance(spelt, str) or not isinstance(real, str) or os.path.realpath(batch.directory) == real:
        return spelt or batch.directory
    if Path(batch.directory) == Path(spelt) and not Path(real).is_dir():
        return spelt
    raise UsageError(
        f"{batch.places.results} holds the results of {spelt} ({real}), not of {os.path.realpath(batch.directory)}: "
        "give another --output, or --overwrite to begin anew"
    )


def _refuse_mixture(batch: Batch, before: Mapping[str, Any], lines: int) -> None:
    differing = differences(before.get("predictor", {}), batch.described) if before and lines else []
    if differing and not batch.mixes:
        raise UsageError(
            f"{batch.places.results} was made with another predictor: {'; '.join(differing)}. "
            "Give another --output, --overwrite to begin anew, or --mix to go on all the same"
        )


def _take_up_again(errors: LinesFile, places: Places) -> None:
    """The files that have failed have no line any more, so they are done like new ones. Their errors are kept aside:
    first copied, then removed, so that a kill in between loses nothing."""
    places.folder.mkdir(parents=True, exist_ok=True)
    new = places.retried.with_suffix(".new")
    with places.errors.open("rb") as source, new.open("wb") as target:
        while block := source.read(1024 * 1024):
            target.write(block)
    new.replace(places.retried)
    errors.empty()


def _config(batch: Batch, naming: Naming) -> dict[str, Any]:
    api = batch.api
    return {
        "command": batch.command,
        "directory": naming.folder,
        "real_directory": os.path.realpath(batch.directory),
        "results": str(batch.places.results),
        "limit": batch.limit,
        "predictor": dict(batch.described),
        "batching": api.batching.model_dump(mode="json"),
        "retry": api.retry.model_dump(mode="json"),
        "breaker": api.breaker.model_dump(mode="json"),
    }
