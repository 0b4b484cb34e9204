"""`stream-infer webhooks`: what was told of jobs' ends, telling it again, and a secret to sign with."""

from __future__ import annotations

import sys
from contextlib import closing
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stream_infer.cli.context import Output, OutputOption
from stream_infer.cli.gateway_access import GatewayOption, gateway_client
from stream_infer.cli.naming import Command
from stream_infer.errors import UsageError
from stream_infer.webhooks import ID_PREFIX, DeliveryState, new_secret

if TYPE_CHECKING:
    from stream_infer.cli.client import GatewayClient

StateOption = Annotated[DeliveryState | None, typer.Option("--state", help="Only those that have come so far.")]


def register(app: typer.Typer) -> None:
    about = "What was told of jobs' ends: see it, tell it again."
    group = typer.Typer(name="webhooks", help=about, no_args_is_help=True)
    for command in (ls, replay, secret):
        group.command(cls=Command)(command)
    app.add_typer(group)


def ls(
    ctx: typer.Context,
    owner: Annotated[str | None, typer.Argument(metavar="API|JOB", help="Whose (default: all).")] = None,
    state: StateOption = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, metavar="N", help="At most as many.")] = 50,
    after: Annotated[
        str | None, typer.Option(metavar="ID", help="Only those behind this one: the last of the list before.")
    ] = None,
    output: OutputOption = Output.TABLE,
    gateway: GatewayOption = None,
) -> None:
    """List events that are told, the newest first: whether they came, and what is wrong where they did not."""
    from stream_infer.cli.console import open_console
    from stream_infer.cli.webhook_tables import delivery_table

    with closing(gateway_client(ctx, gateway)) as client:
        behind = {} if after is None else {"after": after}
        found = client.webhooks({"limit": str(limit)} | behind | _whose(client, owner) | _state(state))
    if output is Output.JSON:
        sys.stdout.write(found.model_dump_json(indent=2) + "\n")
        return
    if not found.deliveries:
        is_choice = owner or state or after
        typer.echo("nothing of that kind is told" if is_choice else "no job has ended that was to be told of")
        return
    open_console().print(delivery_table(found.deliveries))
    if found.has_more:
        typer.echo(f"… and older ones: --after {found.deliveries[-1].id}")
    if any(one.state not in (DeliveryState.DELIVERED, DeliveryState.PENDING) for one in found.deliveries):
        typer.echo("\nAgain, once the receiver is mended:  stream-infer webhooks replay JOB|ID")


def replay(
    ctx: typer.Context,
    names: Annotated[
        list[str] | None, typer.Argument(metavar="API|JOB|ID", help="An API's, a job's, or those of these ids.")
    ] = None,
    state: StateOption = None,
    output: OutputOption = Output.TABLE,
    gateway: GatewayOption = None,
) -> None:
    """Tell events again, under the ids that they had: a receiver that knows an id has heard of it before.

    Those that are pending are told at once. Exit 1 if there is nothing of the kind.
    """
    from stream_infer.cli.job_tables import counted

    ids = [name for name in names or () if name.startswith(ID_PREFIX)]
    owners = [name for name in names or () if name not in ids]
    if len(owners) > 1 or (owners and ids):
        raise UsageError("name one API, one job, or ids as `webhooks ls` gives them")
    if not (ids or owners or state):
        raise UsageError("say which: an API, a job, ids as `webhooks ls` gives them, or --state given_up")
    with closing(gateway_client(ctx, gateway)) as client:
        wanted: dict[str, Any] = {**_whose(client, owners[0] if owners else None), **_state(state)}
        told = client.tell_again(wanted | ({"ids": ids} if ids else {}))
    if output is Output.JSON:
        sys.stdout.write(told.model_dump_json(indent=2) + "\n")
    else:
        count = len(told.deliveries)
        typer.echo(f"{counted(count, 'event')} {'is' if count == 1 else 'are'} told again")
        if told.unknown:
            typer.echo(f"  not there: {', '.join(told.unknown)}")
        if told.has_more:
            typer.echo("  there are more than so many at a time: choose others by API, JOB or --state")
        if told.deliveries:
            typer.echo(f"  stream-infer webhooks ls {told.deliveries[0].job_id if count == 1 else ''}".rstrip())
    if told.unknown or not told.deliveries:
        raise typer.Exit(1)


def secret() -> None:
    """Make a secret that webhooks can be signed with. It is printed, and kept nowhere."""
    typer.echo(new_secret())


def _whose(client: GatewayClient, owner: str | None) -> dict[str, str]:
    if owner is None:
        return {}
    kind, _, name = client.owner(owner).partition("/")
    return {"api" if kind == "apis" else "job_id": name}


def _state(state: DeliveryState | None) -> dict[str, str]:
    return {} if state is None else {"state": state.value}
