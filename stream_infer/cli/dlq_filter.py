"""Whose dead letters a command is about, and which of them."""

from __future__ import annotations

from typing import Annotated

import typer

from stream_infer.cli.completion import owner_argument

Owner = Annotated[str, owner_argument("Whose dead letters.")]
StageOption = Annotated[str | None, typer.Option("--stage", metavar="STAGE", help="Only those of this stage.")]
ExceptionOption = Annotated[
    str | None, typer.Option("--exception", metavar="CLASS", help="Only those of this exception: KeyError, a.b.Error.")
]
MessageOption = Annotated[
    str | None, typer.Option("--message", metavar="TEXT", help="Only those whose message has this in it.")
]


def query_of(stage: str | None, exception: str | None, message: str | None) -> dict[str, str]:
    """What was given of it, by the names that the gateway has for it."""
    given = {"stage": stage, "exception": exception, "message": message}
    return {name: value for name, value in given.items() if value is not None}
