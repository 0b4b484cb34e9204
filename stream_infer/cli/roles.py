"""One command per role, for containers and for `up`. Each serves until SIGTERM or SIGINT."""

from __future__ import annotations

import contextlib
import difflib
import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator
from itertools import islice
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import structlog
import typer

from stream_infer.cli.context import ConfigFile, invocation_of
from stream_infer.cli.naming import Command
from stream_infer.errors import PredictorUnavailable, UsageError
from stream_infer.telemetry.logs import configure_logs

if TYPE_CHECKING:
    from stream_infer.settings import ApiSettings, Settings

ReadyFd = Annotated[int | None, typer.Option("--ready-fd", hidden=True)]
_HELP_PANEL = "Roles"


def register(app: typer.Typer) -> None:
    for command in (gateway, intake, worker, tracker, sink):
        app.command(cls=Command, rich_help_panel=_HELP_PANEL)(command)


def gateway(ctx: typer.Context, file: ConfigFile = None, ready_fd: ReadyFd = None) -> None:
    """Serve the HTTP API."""
    from stream_infer.cli.composition import source_opener, store_of
    from stream_infer.gateway.run import run

    settings = _start(ctx, file, "gateway")
    store = store_of(settings)
    open_source = source_opener(settings, store)
    with _until_signalled() as stop:
        run(
            settings,
            store,
            stop,
            _ready(ready_fd),
            preview=lambda job, limit: list(islice(open_source(job).read(None), limit)),
        )


def intake(ctx: typer.Context, file: ConfigFile = None, ready_fd: ReadyFd = None) -> None:
    """Publish the items of submitted jobs."""
    from stream_infer.cli.composition import source_opener, store_of
    from stream_infer.intake.run import run

    settings = _start(ctx, file, "intake")
    store = store_of(settings)
    with _until_signalled() as stop:
        run(settings, store, source_opener(settings, store), stop=stop, on_ready=_ready(ready_fd))


def worker(
    ctx: typer.Context,
    api: Annotated[str | None, typer.Argument(metavar="API", help="The API that is served.")] = None,
    api_option: Annotated[str | None, typer.Option("--api", metavar="API", help="The same, as an option.")] = None,
    slot: Annotated[
        int | None,
        typer.Option("--slot", min=0, metavar="N", help="Its number on this host (default: the first free one)."),
    ] = None,
    file: ConfigFile = None,
    ready_fd: ReadyFd = None,
    *,
    patient: Annotated[bool, typer.Option("--patient", hidden=True)] = False,
) -> None:
    """Run an API's items through its predictor."""
    from stream_infer.cli.composition import fetcher_of, store_of, with_local_model
    from stream_infer.engine.configured import predictor_spec
    from stream_infer.engine.loading import process_age
    from stream_infer.worker.run import run
    from stream_infer.worker.startup import Startup, Step

    startup = Startup(process_age())
    startup.reach(Step.IMPORTED)
    settings = _start(ctx, file, "worker", slot)
    chosen = _api(settings, api or api_option)
    with _until_signalled() as stop:
        run(
            settings,
            chosen,
            fetcher_of(settings),
            store_of(settings),
            stop=stop,
            on_ready=_ready(ready_fd),
            on_unavailable=_wait_for_predictor if ready_fd is None or patient else _give_up,
            slot=slot,
            startup=startup,
            predictor=with_local_model(settings, predictor_spec(chosen.predictor)),
        )


def tracker(ctx: typer.Context, file: ConfigFile = None, ready_fd: ReadyFd = None) -> None:
    """Fold progress into the jobs' status."""
    from stream_infer.tracker import run

    settings = _start(ctx, file, "tracker")
    with _until_signalled() as stop:
        run(settings, stop, _ready(ready_fd))


def sink(ctx: typer.Context, file: ConfigFile = None, ready_fd: ReadyFd = None) -> None:
    """Write results and dead letters to the object store, and finalize jobs."""
    from connectors.formats import jsonl
    from connectors.stores import open_store
    from stream_infer.cli.composition import store_of
    from stream_infer.heap import give_back_freed_memory
    from stream_infer.sink.role import run

    give_back_freed_memory()
    settings = _start(ctx, file, "sink")
    with _until_signalled() as stop:
        run(settings, store_of(settings), jsonl, stop, _ready(ready_fd), open_output=open_store)


def _start(ctx: typer.Context, file: ConfigFile, role: str, slot: int | None = None) -> Settings:
    invocation = invocation_of(ctx)
    level = logging.DEBUG if invocation.debug else logging.INFO
    configure_logs(role, slot=slot, style=invocation.log_style.value, level=level)
    if role == "gateway":
        invocation.on_note = lambda note: structlog.get_logger(__name__).info("ignored_on_purpose", key=note)
    return invocation.settings_for_kafka(file)


def _api(settings: Settings, name: str | None) -> ApiSettings:
    names = [api.name for api in settings.apis]
    if name is None:
        if len(names) == 1:
            return settings.apis[0]
        raise UsageError(f"a worker serves one API: name one of {', '.join(names) or '(the file defines none)'}")
    found = settings.api(name)
    if found is None:
        near = difflib.get_close_matches(name, names, 1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(names) or 'none'}"
        raise UsageError(f"the configuration has no API {name!r}; {hint}")
    return found


def _ready(fd: int | None) -> Callable[[], None]:
    """Tells whoever started this process, by a line on `fd`, that it serves."""

    def tell() -> None:
        if fd is not None:
            with contextlib.suppress(BrokenPipeError):
                os.write(fd, b"\n")
            os.close(fd)

    return tell


def _wait_for_predictor(error: PredictorUnavailable) -> None:
    """In a container, or started on demand: whoever mends it does so while the jobs say what is wrong."""
    structlog.get_logger(__name__).error("predictor_unavailable", reason=str(error))


def _give_up(error: PredictorUnavailable) -> None:
    """Under `up`: the user who has just started it looks on."""
    raise error


@contextlib.contextmanager
def _until_signalled() -> Iterator[threading.Event]:
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
