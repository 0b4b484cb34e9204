"""One command per role, for containers and for `up`. Each serves until SIGTERM or SIGINT."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stream_infer.cli.context import ConfigFile
from stream_infer.cli.naming import Command
from stream_infer.cli.role_process import (
    ROLES_PANEL,
    ReadyFd,
    exposed,
    exposed_beside,
    give_up,
    ready_by,
    start,
    until_signalled,
    wait_for_predictor,
)
from stream_infer.cli.serving import PreparedFile, Reporting, found, until_replaced


def register(app: typer.Typer) -> None:
    for command in (gateway, intake, worker, tracker, sink):
        app.command(cls=Command, rich_help_panel=ROLES_PANEL)(command)
    app.command(cls=Command, hidden=True)(lookout)


def gateway(
    ctx: typer.Context,
    file: ConfigFile = None,
    ready_fd: ReadyFd = None,
    seal: Annotated[Path | None, typer.Option("--seal", hidden=True)] = None,
) -> None:
    """Serve the HTTP API."""
    from stream_infer.cli.composition import fetcher_of, formats_of, poster_of, source_opener, store_of
    from stream_infer.definitions import Seal
    from stream_infer.gateway.run import run

    settings = start(ctx, file, "gateway")
    store = store_of(settings)
    open_source = source_opener(settings, store)
    with until_signalled() as stop, exposed_beside(settings) as exposure:
        run(
            settings,
            store,
            stop,
            ready_by(ready_fd),
            read_source=lambda job: open_source(job).read(None),
            formats=formats_of(settings),
            poster=poster_of(settings),
            fetcher=fetcher_of(settings),
            exposure=exposure,
            seal=None if seal is None else Seal(seal.read_bytes()),
        )


def intake(ctx: typer.Context, file: ConfigFile = None, ready_fd: ReadyFd = None) -> None:
    """Publish the items of submitted jobs."""
    from stream_infer.cli.composition import source_opener, store_of
    from stream_infer.intake.run import run

    settings = start(ctx, file, "intake")
    store = store_of(settings)
    opener = source_opener(settings, store)
    with until_signalled() as stop, exposed(settings) as exposure:
        run(settings, store, opener, stop=stop, on_ready=ready_by(ready_fd), exposure=exposure)


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
    prepared: PreparedFile = None,
    *,
    patient: Annotated[bool, typer.Option("--patient", hidden=True)] = False,
) -> None:
    """Run an API's items through its predictor."""
    from stream_infer.cli.composition import fetcher_of, store_of
    from stream_infer.engine.loading import process_age
    from stream_infer.worker.run import run
    from stream_infer.worker.startup import Startup, Step

    startup = Startup(process_age())
    startup.reach(Step.IMPORTED)
    configured = start(ctx, file, "worker", slot)
    with until_signalled() as stop, exposed(configured) as exposure:
        what = found(configured, api or api_option, prepared)
        settings, reporting = what.settings, Reporting(what)
        on_unavailable = wait_for_predictor if ready_fd is None or patient else give_up
        with until_replaced(what, stop) as over:
            run(
                settings,
                what.api,
                fetcher_of(settings),
                store_of(settings),
                stop=over,
                on_ready=reporting.ready(ready_by(ready_fd)),
                on_unavailable=on_unavailable if what.definition is None else reporting.unavailable,
                slot=slot,
                startup=startup,
                predictor=what.predictor,
                exposure=exposure,
            )


def tracker(ctx: typer.Context, file: ConfigFile = None, ready_fd: ReadyFd = None) -> None:
    """Fold progress into the jobs' status."""
    from stream_infer.tracker import run

    settings = start(ctx, file, "tracker")
    with until_signalled() as stop, exposed(settings) as exposure:
        run(settings, stop, ready_by(ready_fd), exposure=exposure)


def sink(ctx: typer.Context, file: ConfigFile = None, ready_fd: ReadyFd = None) -> None:
    """Write results and dead letters to the object store, and finalize jobs."""
    from connectors.formats import jsonl
    from connectors.stores import open_store
    from stream_infer.cli.composition import formats_of, ids_reader, store_of
    from stream_infer.heap import give_back_freed_memory
    from stream_infer.sink.role import run

    give_back_freed_memory()
    settings = start(ctx, file, "sink")
    with until_signalled() as stop, exposed(settings) as exposure:
        store = store_of(settings)
        run(
            settings,
            store,
            jsonl,
            stop,
            ready_by(ready_fd),
            open_output=open_store,
            read_ids=ids_reader(settings, store),
            formats=formats_of(settings),
            exposure=exposure,
        )


def lookout(
    ctx: typer.Context,
    file: ConfigFile = None,
    ready_fd: ReadyFd = None,
    to_fd: Annotated[int, typer.Option("--to-fd", hidden=True)] = 1,
) -> None:
    """Tell `up` how much work there is."""
    from stream_infer.local.lookout import run

    settings = start(ctx, file, "lookout")
    with until_signalled() as stop:
        run(settings, to_fd, stop, ready_by(ready_fd))
