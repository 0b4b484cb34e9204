"""docs/command-line.md: every command with its arguments and options, from what `--help` is made of."""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from typing import Any

import typer.main

from docs_made.markdown import MADE, code, table
from stream_infer.cli.app import app

PROGRAM = "stream-infer"
_HEAD = """
# Command line

Every command, as `stream-infer COMMAND --help` tells it. Options of the program stand before the command, those of a
command behind it. What each exit status means stands in [operations](operations.md#exit-statuses).

"""


def page() -> str:
    program = typer.main.get_command(app)
    return MADE + _HEAD + "\n".join(section.strip() + "\n" for section in _sections(program, PROGRAM))


def _sections(command: Any, name: str) -> Iterator[str]:
    """One for each command that does something, in the order of the help; the program's own options come first."""
    inner = getattr(command, "commands", None)
    if inner is None or name == PROGRAM:
        yield _section(command, name)
    for word, one in (inner or {}).items():
        if not one.hidden:
            yield from _sections(one, f"{name} {word}")


def _section(command: Any, name: str) -> str:
    said = [parameter for parameter in command.params if not getattr(parameter, "hidden", False)]
    arguments = [one for one in said if one.param_type_name == "argument"]
    options = [one for one in said if one.param_type_name == "option" and "--help" not in one.opts]
    usage = " ".join([name, *(["[OPTION]..."] if options else []), *(_metavar(one) for one in arguments)])
    if name == PROGRAM:
        usage += " COMMAND ..."
    parts = [
        f"## {name.removeprefix(PROGRAM).strip() or 'Options of the program'}\n",
        f"    {usage}\n",
        _help(command.help) + "\n",
        table(("argument", ""), [(code(_metavar(one)), _help(one.help)) for one in arguments]),
        table(("option", "default", ""), [_option(one) for one in options]),
    ]
    return "\n".join(part for part in parts if part.strip())


def _metavar(argument: Any) -> str:
    shown = argument.metavar or argument.name.upper()
    shown = shown.strip("[]").removesuffix("...")
    if argument.nargs == -1:
        shown += "..."
    return shown if argument.required else f"[{shown}]"


def _option(option: Any) -> tuple[str, str, str]:
    names = ", ".join([*sorted(option.opts, key=len), *option.secondary_opts])
    choices = _choices(option.type_descriptor.annotation)
    metavar = option.metavar or ("" if choices else option.type_descriptor.annotation.__name__.upper())
    default = option.default
    if option.is_flag or default in (None, (), []) or callable(default):
        shown = "required" if option.required else ""
    else:
        shown = code(str(getattr(default, "value", default)))
    said = [f"{choices}." if choices else "", _help(option.help)]
    if option.multiple and "may be repeated" not in said[1]:
        said.append("May be repeated.")
    value = "" if option.is_flag or option.count else f" {metavar}".rstrip()
    return code(names + value), shown, " ".join(part for part in said if part)


def _choices(kind: type) -> str:
    if not issubclass(kind, Enum):
        return ""
    *others, last = [code(str(one.value)) for one in kind]
    return " or ".join([", ".join(others), last]) if others else last


def _help(text: str | None) -> str:
    """One paragraph a blank line."""
    paragraphs = (text or "").replace("\b", "").strip().split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)
