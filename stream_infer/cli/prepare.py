"""`stream-infer prepare`: what `up` runs for an API that was deployed, away from its own event loop."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stream_infer.cli.context import ConfigFile
from stream_infer.cli.naming import Command
from stream_infer.cli.role_process import ReadyFd, start


def register(app: typer.Typer) -> None:
    app.command(cls=Command, hidden=True)(prepare)


def prepare(
    ctx: typer.Context,
    definition: Annotated[Path, typer.Option("--definition", metavar="FILE", help="The definition, as JSON.")],
    to: Annotated[Path, typer.Option("--to", metavar="FILE", help="Where to write what was made ready.")],
    file: ConfigFile = None,
    ready_fd: ReadyFd = None,  # noqa: ARG001 - whoever starts a process gives it one
) -> None:
    """Make an API that was deployed ready to be served here."""
    from stream_infer.cli.serving import preparing
    from stream_infer.definitions import decode_definition

    settings = start(ctx, file, "prepare")
    preparing(settings, decode_definition(definition.read_bytes())).write(to)
