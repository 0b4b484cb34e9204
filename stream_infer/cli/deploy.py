"""`stream-infer deploy` and `stream-infer delete`: APIs that come to a gateway that runs, and go."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stream_infer.cli.completion import deployed_api_argument
from stream_infer.cli.context import Output, OutputOption
from stream_infer.cli.gateway_access import GatewayOption, gateway_client
from stream_infer.cli.naming import Command
from stream_infer.cli.printing import put
from stream_infer.errors import UsageError
from stream_infer.nearest import did_you_mean

if TYPE_CHECKING:
    from stream_infer.clients.gateway import Gateway
    from stream_infer.gateway.api_bodies import ApiBody


def register(app: typer.Typer) -> None:
    app.command(cls=Command)(deploy)
    app.command(cls=Command)(delete)


def deploy(
    ctx: typer.Context,
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A stream-infer.yaml or cortex.yaml; its folder is the code.")
    ],
    names: Annotated[
        list[str] | None, typer.Option("--name", metavar="API", help="Only this one of the file's APIs; repeatable.")
    ] = None,
    *,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Until it is live, or cannot be.")] = True,
    timeout: Annotated[
        float | None, typer.Option("--timeout", min=0, metavar="S", help="Wait at most so long.")
    ] = None,
    output: OutputOption = Output.TABLE,
    gateway: GatewayOption = None,
) -> None:
    """Add APIs to a gateway that runs, or bring them to what the file says. Needs a key that may admin, where keys are.

    Its folder goes along as the code, without what .gitignore leaves out; requirements.txt there is installed for it
    alone. Exit 2 if an API cannot be served as it is.
    """
    from stream_infer.clients import calls
    from stream_infer.clients.deploying import deployed, deployment
    from stream_infer.configuration import load_definitions

    entries = _chosen(load_definitions(file, lambda note: typer.echo(f"note: {note}", err=True)), names or [], file)
    is_told = output is Output.TABLE
    bodies: list[ApiBody] = []
    with closing(gateway_client(ctx, gateway)) as client:
        for entry in entries:
            name, form = deployment(entry, None, (), file.absolute().parent)
            before = _revision(client, name)
            taken = client.run(deployed(calls.put_api(name, form), wait=False, timeout_s=timeout))
            if is_told:
                how = {None: "created", taken.revision: "unchanged"}.get(before, "configured")
                typer.echo(f"api/{name} {how}")
            bodies.append(taken)
        if wait:
            bodies = [_waited(client, body, timeout, is_told=is_told) for body in bodies]
    if not is_told:
        put([body.model_dump(mode="json") for body in bodies], output)


def delete(
    ctx: typer.Context,
    api: Annotated[str, deployed_api_argument("One that was deployed.")],
    *,
    force: Annotated[bool, typer.Option("--force", help="Stop its jobs first.")] = False,
    gateway: GatewayOption = None,
) -> None:
    """Remove an API that was deployed. Its results stay, as do its topics."""
    from stream_infer.clients import calls

    with closing(gateway_client(ctx, gateway)) as client:
        client.ask(calls.delete_api(api, force=force))
    typer.echo(f"api/{api} deleted")


def _chosen(entries: list[dict[str, Any]], names: list[str], file: Path) -> list[dict[str, Any]]:
    known = [str(entry["name"]) for entry in entries]
    if not entries:
        raise UsageError(f"{file} defines no API: there is nothing to deploy")
    for name in names:
        if name not in known:
            raise UsageError(f"{file} defines no API {name!r}{did_you_mean(name, known, f'; it has {known}')}")
    return [entry for entry in entries if not names or entry["name"] in names]


def _revision(client: Gateway, name: str) -> str | None:
    """Of what is deployed under that name; None: nothing is."""
    from stream_infer.clients import calls
    from stream_infer.clients.errors import UnknownApi

    try:
        return client.ask(calls.api(name)).revision
    except UnknownApi:
        return None


def _waited(client: Gateway, body: ApiBody, timeout: float | None, *, is_told: bool) -> ApiBody:
    from stream_infer.clients import calls
    from stream_infer.clients.deploying import deployed

    live = client.run(deployed(calls.api(body.name), wait=True, timeout_s=timeout))
    if is_told:
        typer.echo(f"api/{live.name} is live: {live.endpoint}")
    return live
