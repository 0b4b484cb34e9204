"""`stream-infer topics rights`: what each role needs of Kafka's authorizer, for whoever writes the ACLs."""

from __future__ import annotations

from typing import Annotated

import typer

from stream_infer.cli.context import ConfigFile, Output, OutputOption, invocation_of
from stream_infer.cli.naming import Command
from stream_infer.cli.printing import put
from stream_infer.errors import UsageError
from stream_infer.kafka.rights import Right, Role, rights, rows
from stream_infer.topics import Topics


def register(group: typer.Typer) -> None:
    group.command("rights", cls=Command)(show)


def show(
    ctx: typer.Context,
    role: Annotated[Role | None, typer.Option("--role", help="Only those of this role.")] = None,
    api: Annotated[
        str | None, typer.Option("--api", metavar="API", help="Only what is needed for this API, as for its workers.")
    ] = None,
    file: ConfigFile = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Show the least rights of each role in Kafka, as ACLs have them. Asks nobody."""
    settings = invocation_of(ctx).settings(file)
    names = [one.name for one in settings.apis]
    if api is not None and api not in names:
        raise UsageError(f"the configuration has no API {api!r}; there are {', '.join(names) or 'none'}")
    topics = Topics(settings.kafka.topic_prefix)
    found = {one: rights(one, topics, names if api is None else [api]) for one in ([role] if role else list(Role))}
    if output is not Output.TABLE:
        put({one.value: [_as_json(right) for right in held] for one, held in found.items()}, output)
        return
    for one, held in found.items():
        for row in rows(held):
            typer.echo(f"{one.value:<8} {row.resource.value:<16} {row.name:<44} {', '.join(row.operations)}")


def _as_json(right: Right) -> dict[str, str]:
    pattern = "prefixed" if right.is_prefix else "literal"
    return {
        "operation": right.operation.value,
        "resource": right.resource.value,
        "name": right.name,
        "pattern": pattern,
    }
