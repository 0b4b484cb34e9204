"""What the options before the command say, and what every command makes of them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any

import typer

from stream_infer.settings import Settings

_NONE: Mapping[str, Any] = MappingProxyType({})


class LogStyle(StrEnum):
    AUTO = "auto"
    JSON = "json"
    TEXT = "text"


class Output(StrEnum):
    """How a reading command prints what it found."""

    TABLE = "table"
    JSON = "json"


@dataclass(slots=True)
class Invocation:
    """One run of the program. `environ` is read once, here."""

    file: Path | None = None
    debug: bool = False
    log_style: LogStyle = LogStyle.AUTO
    environ: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))

    def config_file(self, file: Path | None = None) -> Path | None:
        """The file given after the command, or else that before it."""
        return file or self.file

    def settings(self, file: Path | None = None, overrides: Mapping[str, Any] = _NONE) -> Settings:
        """The configuration; `file` is the command's own -f. Raises ConfigError."""
        from stream_infer.configuration import load_settings

        return load_settings(self.config_file(file), self.environ, overrides)


ConfigFile = Annotated[
    Path | None, typer.Option("--file", "-f", help="The configuration (default: ./stream-infer.yaml).")
]
OutputOption = Annotated[Output, typer.Option("--output", "-o", help="A table for people, JSON for programs.")]


def invocation_of(ctx: typer.Context) -> Invocation:
    found = ctx.find_object(Invocation)
    assert found is not None, "main() gives every run its Invocation"
    return found
