"""What the options before the command say, and what every command makes of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any

import typer

from stream_infer.errors import StreamInferError
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
    key_file: Path | None = None
    debug: bool = False
    log_style: LogStyle = LogStyle.AUTO
    environ: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    on_note: Callable[[str], None] | None = None
    """Is told what of another system's configuration is ignored on purpose, by the commands that say so."""
    on_error: Callable[[str], None] | None = None
    """Is told what has ended the command, where that is to stand in a log; else it is printed."""
    _guessed: Settings | None = None

    def config_file(self, file: Path | None = None) -> Path | None:
        """The file given after the command, or else that before it."""
        return file or self.file

    def log_style_in(self, settings: Settings) -> LogStyle:
        """The option's, or where it leaves that open the configuration's."""
        return LogStyle(settings.log.format) if self.log_style is LogStyle.AUTO else self.log_style

    def settings(self, file: Path | None = None, overrides: Mapping[str, Any] = _NONE) -> Settings:
        """The configuration; `file` is the command's own -f. Raises ConfigError."""
        from stream_infer.configuration import load_settings

        return load_settings(self.config_file(file), self.environ, overrides, self.on_note or _say_nothing)

    def settings_for_kafka(self, file: Path | None = None) -> Settings:
        """The configuration of a command that talks to Kafka: where it names none, `up`'s own, if that runs here."""
        from stream_infer.local.running_broker import running_broker

        settings = self.settings(file)
        if settings.kafka.bootstrap_servers is not None:
            return settings
        address = running_broker(settings.state_dir)
        if address is None:
            self._guessed = settings
            return settings
        return settings.model_copy(update={"kafka": settings.kafka.model_copy(update={"bootstrap_servers": address})})

    def explain(self, error: StreamInferError) -> None:
        """Says of an error that names a Kafka which nobody has configured where the address came from."""
        if self._guessed is not None and self._guessed.kafka.bootstrap in str(error):
            error.add_note(
                f"No kafka.bootstrap_servers is configured, and no `stream-infer up` keeps a Kafka of its own in "
                f"{self._guessed.state_dir}: so it was looked for at {self._guessed.kafka.bootstrap}. "
                "Start `stream-infer up`, or set kafka.bootstrap_servers."
            )


def _say_nothing(_note: str) -> None:
    """Whoever starts all roles is told once, not by each of them."""


ConfigFile = Annotated[
    Path | None, typer.Option("--file", "-f", metavar="FILE", help="The configuration (default: ./stream-infer.yaml).")
]
OutputOption = Annotated[Output, typer.Option("--output", "-o", help="A table for people, JSON for programs.")]


def invocation_of(ctx: typer.Context) -> Invocation:
    found = ctx.find_object(Invocation)
    assert found is not None, "main() gives every run its Invocation"
    return found
