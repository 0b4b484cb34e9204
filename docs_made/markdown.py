"""Tables as the pages have them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

MADE = "<!-- Made by: python -m docs_made -->\n"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Lines of a table, the last one ended; empty where there are no rows."""
    lines = [_line([cell.replace("|", "\\|").replace("\n", " ") for cell in row]) for row in rows]
    return "".join([_line(head), _line(["---"] * len(head)), *lines]) if lines else ""


def _line(cells: Sequence[str]) -> str:
    return "|" + "".join(f" {cell} |" if cell else " |" for cell in cells) + "\n"


def code(text: str) -> str:
    return f"`{text}`" if text else ""
