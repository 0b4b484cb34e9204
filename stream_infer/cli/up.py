"""`stream-infer up`: everything on this machine."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stream_infer.cli.context import ConfigFile, Invocation, LogStyle, invocation_of
from stream_infer.cli.naming import Command

if TYPE_CHECKING:
    from stream_infer.local.up import Ready
    from stream_infer.settings import Settings

_INTERRUPTED = 130
# Inline: a file or a folder has to be allowed first.
_AN_ITEM = '{"text": "hello"}'


def register(app: typer.Typer) -> None:
    app.command(cls=Command)(up)


def up(
    ctx: typer.Context,
    file: ConfigFile = None,
    workers: Annotated[
        int | None,
        typer.Option(
            "--workers", min=1, metavar="N", help="So many worker processes for each API, always: nothing scales."
        ),
    ] = None,
    ready_file: Annotated[
        Path | None,
        typer.Option("--ready-file", metavar="FILE", help="Written as JSON once all serve: addresses and process ids."),
    ] = None,
) -> None:
    """Serve everything on this machine, a local Kafka included, until Ctrl-C."""
    from rich.console import Console

    from stream_infer.local.log_lines import LinePrinter, LineStream
    from stream_infer.local.supervisor import SUPERVISOR
    from stream_infer.local.up import UpOptions, process_names
    from stream_infer.local.up import up as serve
    from stream_infer.telemetry.logs import configure_logs

    invocation = invocation_of(ctx)
    settings = invocation.settings(file)
    chosen = invocation.config_file(file)
    printer = LinePrinter(Console(), process_names(settings, workers), SUPERVISOR)
    own_log = LineStream(lambda line: printer(SUPERVISOR, line))
    style = _log_style(invocation, settings)
    configure_logs(SUPERVISOR, style=style.value, level=logging.WARNING, stream=own_log)

    def announce(ready: Ready) -> None:
        asked = next((api.name for api in settings.apis if api.realtime is not None), None)
        for line in _greeting(ready, chosen, asked):
            printer(SUPERVISOR, line)
        if ready_file is not None:
            ready.write(ready_file)

    role_options = () if chosen is None else ("-f", str(chosen.absolute()))
    options = UpOptions(_program(invocation, style), role_options, workers, invocation.environ)
    try:
        serve(settings, options, printer, announce)
    except KeyboardInterrupt:
        printer(SUPERVISOR, "interrupted before everything was up")
        raise typer.Exit(_INTERRUPTED) from None


def _program(invocation: Invocation, style: LogStyle) -> tuple[str, ...]:
    """What stands before a role's command."""
    debug = ("--debug",) if invocation.debug else ()
    return (sys.executable, "-m", "stream_infer", "--log-style", style.value, *debug)


def _log_style(invocation: Invocation, settings: Settings) -> LogStyle:
    """Behind the name of its role a line is for people, unless JSON was asked for."""
    style = invocation.log_style_in(settings)
    return LogStyle.TEXT if style is LogStyle.AUTO else style


def _greeting(ready: Ready, file: Path | None, asked: str | None) -> list[str]:
    """`asked`: an API that answers requests, where there is one."""
    config = "" if file is None else f"-f {file} "
    return [
        "everything is up; Ctrl-C ends it",
        f"  gateway  {ready.gateway}",
        f"  kafka    {ready.bootstrap_servers}",
        f"  store    {ready.store}",
        f"  submit   stream-infer {config}submit {ready.apis[0]} '{_AN_ITEM}' --wait"
        if ready.apis
        else f"  deploy   stream-infer {config}deploy FILE: there is no API yet",
        *([] if asked is None else [f"  predict  stream-infer {config}predict {asked} '{_AN_ITEM}'"]),
    ]
