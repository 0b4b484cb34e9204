"""What the commands of all roles share: their logs, their API, their readiness, their end."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import structlog
import typer

from stream_infer.cli.context import ConfigFile, Invocation, LogStyle, invocation_of
from stream_infer.errors import PredictorUnavailable, UsageError
from stream_infer.nearest import did_you_mean
from stream_infer.settings import LogSettings
from stream_infer.telemetry.logs import configure_logs, is_text, tell_of_threads
from stream_infer.telemetry.otel import start_tracing

if TYPE_CHECKING:
    from stream_infer.settings import ApiSettings, Settings
    from stream_infer.telemetry.exposure import Exposure

ReadyFd = Annotated[int | None, typer.Option("--ready-fd", hidden=True)]
ROLES_PANEL = "Roles"


def start(ctx: typer.Context, file: ConfigFile, role: str, slot: int | None = None) -> Settings:
    """The settings of a role that talks to Kafka; what it says from here on, it says as they want it."""
    return _started(ctx, role, slot, lambda invocation: invocation.settings_for_kafka(file))


def start_without_kafka(ctx: typer.Context, file: ConfigFile, role: str, slot: int) -> Settings:
    return _started(ctx, role, slot, lambda invocation: invocation.settings(file))


def _started(ctx: typer.Context, role: str, slot: int | None, load: Callable[[Invocation], Settings]) -> Settings:
    invocation = invocation_of(ctx)
    level = logging.DEBUG if invocation.debug else logging.INFO
    _configure(invocation, role, slot, invocation.log_style, level)
    ctx.call_on_close(tell_of_threads())
    if role == "gateway":
        invocation.on_note = lambda note: structlog.get_logger(__name__).info("ignored_on_purpose", key=note)
    settings = load(invocation)
    if settings.log != LogSettings():
        level = logging.DEBUG if invocation.debug else logging.getLevelNamesMapping()[settings.log.level.upper()]
        _configure(invocation, role, slot, invocation.log_style_in(settings), level)
    ctx.call_on_close(start_tracing(role, slot, invocation.environ))
    return settings


def _configure(invocation: Invocation, role: str, slot: int | None, style: LogStyle, level: int) -> None:
    """Where each line is JSON, the last one is, too."""
    configure_logs(role, slot=slot, style=style.value, level=level)
    log = structlog.get_logger(__name__)
    invocation.on_error = None if is_text(style.value, sys.stderr) else lambda said: log.error("ended", reason=said)


def chosen_api(settings: Settings, name: str | None) -> ApiSettings:
    """The API of that name, or the only one. Raises UsageError."""
    names = [api.name for api in settings.apis]
    if name is None:
        if len(names) == 1:
            return settings.apis[0]
        raise UsageError(f"the role serves one API: name one of {', '.join(names) or '(the file defines none)'}")
    found = settings.api(name)
    if found is None:
        hint = did_you_mean(name, names, f"; there are {', '.join(names) or 'none'}")
        raise UsageError(f"the configuration has no API {name!r}{hint}")
    return found


def ready_by(fd: int | None) -> Callable[[], None]:
    """Tells whoever started this process, by a line on `fd`, that it serves."""

    def tell() -> None:
        if fd is not None:
            with contextlib.suppress(BrokenPipeError):
                os.write(fd, b"\n")
            os.close(fd)

    return tell


def wait_for_predictor(error: PredictorUnavailable) -> None:
    """In a container, or started on demand: whoever mends it does so while the jobs say what is wrong."""
    structlog.get_logger(__name__).error("predictor_unavailable", reason=str(error))


def give_up(error: PredictorUnavailable) -> None:
    """Under `up`: the user who has just started it looks on."""
    raise error


@contextlib.contextmanager
def exposed(settings: Settings) -> Iterator[Exposure]:
    """What a role shows of itself, and lacks to be ready, while the block runs."""
    from stream_infer.telemetry.exposure import Exposure
    from stream_infer.telemetry.server import served

    exposure = Exposure()
    with served(settings.metrics.listen, exposure):
        yield exposure


@contextlib.contextmanager
def exposed_beside(settings: Settings) -> Iterator[Exposure]:
    """As `exposed`, of a role that shows the same where it answers, to whom has a key: where `metrics.listen` is set,
    so that Prometheus asks all roles alike."""
    from stream_infer.telemetry.exposure import Exposure

    if settings.metrics.listen is None:
        yield Exposure()
    else:
        with exposed(settings) as exposure:
            yield exposure


@contextlib.contextmanager
def until_signalled() -> Iterator[threading.Event]:
    """An event that SIGTERM and SIGINT set."""
    stop = threading.Event()

    def ask(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    before = {number: signal.signal(number, ask) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
