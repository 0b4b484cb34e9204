"""`stream-infer dlq`: dead letters, grouped and listed, or one with all that it carries."""

from __future__ import annotations

from contextlib import closing
from typing import Annotated

import typer

from stream_infer.cli.context import Output, OutputOption
from stream_infer.cli.dlq_export import export
from stream_infer.cli.dlq_filter import ExceptionOption, MessageOption, Owner, StageOption, query_of
from stream_infer.cli.dlq_replay import replay
from stream_infer.cli.gateway_access import GatewayOption, gateway_client
from stream_infer.cli.naming import Command
from stream_infer.cli.printing import put


def register(app: typer.Typer) -> None:
    group = typer.Typer(name="dlq", help="Items that failed for good: see why, run them again.", no_args_is_help=True)
    for command in (ls, show, replay, export):
        group.command(cls=Command)(command)
    app.add_typer(group)


def ls(
    ctx: typer.Context,
    owner: Owner,
    limit: Annotated[int, typer.Option(min=1, max=1000, metavar="N", help="List at most as many.")] = 50,
    stage: StageOption = None,
    exception: ExceptionOption = None,
    message: MessageOption = None,
    output: OutputOption = Output.TABLE,
    gateway: GatewayOption = None,
    *,
    replayed: Annotated[bool, typer.Option("--replayed", help="Those that run again, too.")] = False,
) -> None:
    """Count dead letters by stage and exception, and list the newest."""
    from stream_infer.cli.console import open_console
    from stream_infer.cli.job_tables import dead_letter_table, group_table
    from stream_infer.cli.owners import owner_of
    from stream_infer.clients import calls

    query = query_of(stage, exception, message) | ({"replayed": "true"} if replayed else {})
    with closing(gateway_client(ctx, gateway)) as client:
        letters = client.ask(calls.dead_letters(owner_of(client, owner), limit=limit, query=query))
    if output is not Output.TABLE:
        put(letters, output)
        return
    if not letters.dead_letters:
        typer.echo(f"{owner} has no {'such ' if query else ''}dead letters")
    else:
        console = open_console()
        console.print(group_table(letters), "", dead_letter_table(letters), sep="\n")
        typer.echo(f"\nOne with payload, headers and stack:  stream-infer dlq show {owner} REF")
        typer.echo(f"Again, once the cause is mended:      stream-infer dlq replay {owner}")
    if letters.replayed and not replayed:
        typer.echo(f"{letters.replayed:,} more run again since a replay; --replayed lists them.")
    if not letters.is_complete:
        typer.echo(
            f"Only the newest {letters.scanned} records of the topic were looked at; older ones are not counted."
        )


def show(
    ctx: typer.Context,
    owner: Owner,
    ref: Annotated[
        str | None, typer.Argument(metavar="REF", help="As `dlq ls` gives it (default: the newest).")
    ] = None,
    output: OutputOption = Output.TABLE,
    gateway: GatewayOption = None,
) -> None:
    """Show one dead letter: reason, payload, headers, stack, and what was logged around it."""
    from stream_infer.cli.console import open_console
    from stream_infer.cli.job_tables import dead_letter_details
    from stream_infer.cli.owners import owner_of
    from stream_infer.clients import calls

    with closing(gateway_client(ctx, gateway)) as client:
        whose = owner_of(client, owner)
        if ref is None:
            newest = client.ask(calls.dead_letters(whose, limit=1)).dead_letters
            if not newest:
                typer.echo(f"{owner} has no dead letters")
                return
            ref = newest[0].ref
        letter = client.ask(calls.dead_letter(whose, ref))
    if output is not Output.TABLE:
        put(letter, output)
    else:
        open_console().print(dead_letter_details(letter))
