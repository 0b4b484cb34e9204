"""The console that tables are printed on."""

from __future__ import annotations

from rich.console import Console

# A pipe has no width of its own: wide enough that no row breaks, and `grep` finds what belongs together.
PIPE_WIDTH = 250


def open_console(*, stderr: bool = False) -> Console:
    """As wide as the terminal, or 250 columns where there is none."""
    console = Console(stderr=stderr)
    return console if console.is_terminal else Console(stderr=stderr, width=PIPE_WIDTH)
