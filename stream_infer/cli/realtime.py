"""`stream-infer realtime API`: one replica that answers requests."""

from __future__ import annotations

from typing import Annotated

import typer

from stream_infer.cli.context import ConfigFile
from stream_infer.cli.naming import Command
from stream_infer.cli.role_process import (
    ROLES_PANEL,
    ReadyFd,
    exposed_beside,
    give_up,
    ready_by,
    start_without_kafka,
    until_signalled,
    wait_for_predictor,
)
from stream_infer.cli.serving import PreparedFile, served


def register(app: typer.Typer) -> None:
    app.command(cls=Command, rich_help_panel=ROLES_PANEL)(realtime)


def realtime(
    ctx: typer.Context,
    api: Annotated[str | None, typer.Argument(metavar="API", help="The API that is served.")] = None,
    api_option: Annotated[str | None, typer.Option("--api", metavar="API", help="The same, as an option.")] = None,
    replica: Annotated[
        int,
        typer.Option("--replica", min=0, metavar="N", help="Listen on the port of realtime.listen plus N."),
    ] = 0,
    file: ConfigFile = None,
    ready_fd: ReadyFd = None,
    prepared: PreparedFile = None,
) -> None:
    """Answer an API's requests over HTTP, without Kafka."""
    from stream_infer.cli.composition import fetcher_of
    from stream_infer.realtime.run import run

    configured = start_without_kafka(ctx, file, "realtime", replica)
    what = served(configured, api or api_option, prepared)
    with until_signalled() as stop, exposed_beside(configured) as exposure:
        run(
            what.settings,
            what.api,
            fetcher_of(what.settings),
            predictor=what.predictor,
            stop=stop,
            on_ready=ready_by(ready_fd),
            on_unavailable=give_up if ready_fd is not None and what.definition is None else wait_for_predictor,
            replica=replica,
            exposure=exposure,
        )
