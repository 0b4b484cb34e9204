"""What a worker or a replica serves: an API of the configuration, or one that was deployed, made ready here."""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import structlog
import typer

from stream_infer.cli.role_process import chosen_api, wait_for_predictor
from stream_infer.errors import PredictorUnavailable, StreamInferError, UsageError
from stream_infer.redaction import redact_text

if TYPE_CHECKING:
    from stream_infer.definitions import ApiState, Definition
    from stream_infer.local.preparing import Prepared
    from stream_infer.predictors.spec import PredictorSpec
    from stream_infer.settings import ApiSettings, Settings

PreparedFile = Annotated[Path | None, typer.Option("--prepared", hidden=True)]
_LOOK_EVERY_S = 0.5
_LONGEST_MESSAGE = 4000
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Served:
    """`settings` have the API, whoever has defined it; `definition`: what was deployed. `follows`: whoever serves it
    has to see by itself that another takes its place."""

    settings: Settings
    api: ApiSettings
    predictor: PredictorSpec
    definition: Definition | None = None
    follows: bool = False


def found(settings: Settings, name: str | None, prepared: Path | None) -> Served:
    """As `served`. An API that neither the configuration nor `prepared` has is looked for on `{p}.apis`, and made ready
    here, which blocks for as long as its requirements take. Raises ServiceUnavailable, too."""
    if prepared is None and name is not None and settings.api(name) is None:
        definition = _defined(settings, name)
        if definition is not None:
            return _served(settings, preparing(settings, definition), follows=True)
    return served(settings, name, prepared)


def served(settings: Settings, name: str | None, prepared: Path | None) -> Served:
    """`prepared`: what `up` has made ready. Raises UsageError, PredictorUnavailable or ServiceUnavailable (of a model
    that lies elsewhere)."""
    from stream_infer.cli.composition import with_local_model
    from stream_infer.engine.configured import predictor_spec

    if prepared is not None:
        return _deployed(settings, prepared)
    api = chosen_api(settings, name)
    return Served(settings, api, with_local_model(settings, predictor_spec(api.predictor)))


def preparing(settings: Settings, definition: Definition) -> Prepared:
    """Says on `{p}.api-states` how that goes. Raises ServiceUnavailable."""
    from stream_infer.cli.composition import store_of, with_local_model
    from stream_infer.definitions import ApiState
    from stream_infer.local.preparing import prepare

    report(settings, definition, ApiState.PREPARING, "Its code is being prepared.")

    def say(line: str) -> None:
        _log.info("installer", api=definition.name, said=line)

    made = prepare(definition, settings, store_of(settings), lambda spec: with_local_model(settings, spec), say)
    if made.failure is not None:
        _log.error("api_not_prepared", api=definition.name, reason=made.failure)
        report(settings, definition, ApiState.FAILED, made.failure)
    elif definition.api.workers.min == 0:  # nobody comes before there is work, who could say so
        report(settings, definition, ApiState.LIVE)
    return made


def _deployed(settings: Settings, file: Path) -> Served:
    from stream_infer.local.preparing import read_prepared

    try:
        return _served(settings, read_prepared(file), follows=False)
    except (OSError, ValueError) as error:
        raise UsageError(f"{file} is not what `up` has prepared: {error}") from error


def _served(settings: Settings, made: Prepared, *, follows: bool) -> Served:
    from stream_infer.cli.composition import with_local_model
    from stream_infer.definitions import with_definitions

    definition = made.definition
    merged = with_definitions(settings, [definition])
    spec = made.spec(lambda spec: with_local_model(settings, spec))
    return Served(merged, definition.api, spec, definition, follows)


def _defined(settings: Settings, name: str) -> Definition | None:
    """What stands on `{p}.apis`. Raises TopicMismatch or ServiceUnavailable."""
    from stream_infer.definitions import decode_definition
    from stream_infer.kafka.views import read_compacted
    from stream_infer.topics import Topics

    topic = Topics(settings.kafka.topic_prefix).apis
    all_of_them: dict[str, Definition] = read_compacted(
        settings.kafka, topic, 0, decode_definition, key_of=attrgetter("name")
    )
    return all_of_them.get(name)


def report(settings: Settings, definition: Definition, state: ApiState, message: str = "") -> None:
    """What has become of it, for whoever asks the gateway. Nothing is raised: it says so, no more."""
    from stream_infer.definitions import Report, report_record
    from stream_infer.kafka.publisher import Publisher
    from stream_infer.topics import Topics

    # What code or an installer says may hold what it was given; whoever may read sees this.
    shown = redact_text(message[:_LONGEST_MESSAGE])
    said = Report(
        name=definition.name,
        revision=definition.revision,
        by=socket.gethostname(),
        state=state,
        message=shown,
        at=time.time(),
    )
    publisher = Publisher(settings.kafka, f"api-states-{definition.name}")
    try:
        publisher.publish([report_record(said, Topics(settings.kafka.topic_prefix))])
    except StreamInferError as error:
        _log.warning("state_not_told", api=definition.name, state=state.value, reason=str(error))
    finally:
        publisher.close()


class Reporting:
    """What a worker says of its API's definition, beside its work: Kafka may not answer for a while."""

    def __init__(self, served: Served) -> None:
        self._served = served

    def ready(self, on_ready: Callable[[], None]) -> Callable[[], None]:
        from stream_infer.definitions import ApiState

        def told() -> None:
            on_ready()
            self._tell(ApiState.LIVE, "")

        return told if self._served.definition is not None else on_ready

    def unavailable(self, error: PredictorUnavailable) -> None:
        from stream_infer.definitions import ApiState

        wait_for_predictor(error)
        self._tell(ApiState.FAILED, str(error))

    def _tell(self, state: ApiState, message: str) -> None:
        settings, definition = self._served.settings, self._served.definition
        assert definition is not None, "of a deployed API"
        threading.Thread(target=report, args=(settings, definition, state, message), daemon=True).start()


@contextmanager
def until_replaced(served: Served, stop: threading.Event) -> Iterator[threading.Event]:
    """An event that `stop` sets, or another definition of the API; for the latter the process begins anew behind the
    block, with that."""
    definition = served.definition
    if definition is None or not served.follows:
        yield stop
        return
    from stream_infer.kafka.definitions import Definitions

    definitions, over = Definitions(served.settings), threading.Event()

    def is_replaced() -> bool:
        now = definitions.get(definition.name)
        return now is None or now.revision != definition.revision

    def watch() -> None:
        while not stop.wait(_LOOK_EVERY_S) and not is_replaced():
            pass
        over.set()

    definitions.start()
    threading.Thread(target=watch, name="definition", daemon=True).start()
    try:
        yield over
    finally:
        definitions.close()
    if is_replaced() and not stop.is_set():
        _log.info("definition_replaced", api=definition.name)
        os.execv(sys.executable, sys.orig_argv)  # noqa: S606 - this same command  # nosec B606
