"""`stream-infer realtime API`: one replica that answers requests."""

from __future__ import annotations

from typing import Annotated

import typer

from stream_infer.cli.context import ConfigFile
from stream_infer.cli.naming import Command
from stream_infer.cli.role_process import (
    ROLES_PANEL,
    ReadyFd,
    chosen_api,
    exposed_beside,
    give_up,
    ready_by,
    start_without_kafka,
    until_signalled,
    wait_for_predictor,
)


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
) -> None:
    """Answer an API's requests over HTTP, without Kafka."""
    from stream_infer.cli.composition import fetcher_of, with_local_model
    from stream_infer.engine.configured import predictor_spec
    from stream_infer.realtime.run import run

    settings = start_without_kafka(ctx, file, "realtime", replica)
    chosen = chosen_api(settings, api or api_option)
    with until_signalled() as stop, exposed_beside(settings) as exposure:
        run(
            settings,
            chosen,
            fetcher_of(settings),
            predictor=with_local_model(settings, predictor_spec(chosen.predictor)),
            stop=stop,
            on_ready=ready_by(ready_fd),
            on_unavailable=wait_for_predictor if ready_fd is None else give_up,
            replica=replica,
            exposure=exposure,
        )
