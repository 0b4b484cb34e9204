"""The lines of many processes on one terminal, each behind the name of who said it."""

from __future__ import annotations

import contextlib
import zlib
from collections.abc import Iterable

from rich.console import Console
from rich.text import Text

_COLOURS = ("cyan", "green", "magenta", "blue", "yellow", "bright_cyan", "bright_green", "bright_magenta")


class LinePrinter:
    """Prints `name | line`; in colour on a terminal, a name always in the same one."""

    def __init__(self, console: Console, names: Iterable[str], emphasised: str) -> None:
        self._console = console
        self._width = max(map(len, [*names, emphasised]))
        self._emphasised = emphasised

    def __call__(self, who: str, line: str) -> None:
        style = "bold" if who == self._emphasised else _COLOURS[zlib.crc32(who.encode()) % len(_COLOURS)]
        text = Text.assemble((f"{who:<{self._width}} | ", style), Text.from_ansi(line))
        # A terminal that has gone is no reason to leave a role blocked on a full pipe.
        with contextlib.suppress(OSError):
            self._console.print(text, soft_wrap=True, highlight=False)
