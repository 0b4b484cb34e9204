"""`stream-infer plugins`: what other packages have added to this installation."""

from __future__ import annotations

import typer

from stream_infer.cli.console import open_console
from stream_infer.cli.context import Output, OutputOption
from stream_infer.cli.naming import Command
from stream_infer.cli.printing import put


def register(app: typer.Typer) -> None:
    app.command(cls=Command)(plugins)


def plugins(output: OutputOption = Output.TABLE) -> None:
    """List the sources, stores, formats and predictors that installed packages add."""
    from rich.table import Table

    from stream_infer.plugins import Group, installed

    found = list(installed())
    if output is not Output.TABLE:
        put([{**plugin._asdict(), "group": plugin.group.one} for plugin in found], output)
        return
    if not found:
        groups = ", ".join(Group)
        typer.echo(f"No package here has an entry point in one of {groups}.")
        return
    table = Table("KIND", "NAME", "PACKAGE", "OBJECT", box=None, pad_edge=False)
    for plugin in found:
        table.add_row(plugin.group.one, plugin.name, f"{plugin.package} {plugin.version}", plugin.target)
    open_console().print(table)
