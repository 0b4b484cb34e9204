"""The lines of many processes on one terminal, each behind the name of who said it."""

from __future__ import annotations

import contextlib
import io
import zlib
from collections.abc import Callable, Iterable

from rich.console import Console
from rich.text import Text

_COLOURS = ("cyan", "green", "magenta", "blue", "yellow", "bright_cyan", "bright_green", "bright_magenta")


class LinePrinter:
    """Prints `name | line`; in colour on a terminal, a name always in the same one."""

    def __init__(self, console: Console, names: Iterable[str], emphasised: str) -> None:
        self._console = console
        self._width = max(map(len, names))
        self._emphasised = emphasised

    def __call__(self, who: str, line: str) -> None:
        style = "bold" if who == self._emphasised else _COLOURS[zlib.crc32(who.encode()) % len(_COLOURS)]
        text = Text.assemble((f"{who:<{self._width}} | ", style), Text.from_ansi(line))
        # A terminal that has gone is no reason to leave a role blocked on a full pipe. On a broken pipe rich raises
        # SystemExit, once, and is quiet from then on.
        with contextlib.suppress(OSError, SystemExit):
            self._console.print(text, soft_wrap=True, highlight=False)


class LineStream(io.StringIO):
    """A text stream for this process's own logging, whose lines go where the others' go."""

    def __init__(self, on_line: Callable[[str], None]) -> None:
        super().__init__()
        self._on_line = on_line
        self._rest = ""

    def write(self, text: str) -> int:
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            self._on_line(line)
        return len(text)
