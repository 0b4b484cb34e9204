"""`stream-infer get` and `stream-infer stop`: APIs and jobs as tables, and the end of a job."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from typing import TYPE_CHECKING, Annotated

import typer

from stream_infer.cli.completion import job_argument, job_of_api_argument, owner_argument
from stream_infer.cli.context import Output, OutputOption
from stream_infer.cli.gateway_access import GatewayOption, gateway_client
from stream_infer.cli.naming import Command
from stream_infer.cli.printing import put
from stream_infer.errors import UsageError

if TYPE_CHECKING:
    from rich.console import RenderableType

    from stream_infer.clients.gateway import Gateway

WATCH_EVERY_S = 1.0


def register(app: typer.Typer) -> None:
    app.command(cls=Command)(get)
    app.command(cls=Command)(stop)


def get(
    ctx: typer.Context,
    name: Annotated[str | None, owner_argument("An API, or a job.", "API")] = None,
    job: Annotated[str | None, job_of_api_argument("A job of that API.", "name")] = None,
    limit: Annotated[int, typer.Option(min=1, max=100, metavar="N", help="At most as many jobs.")] = 20,
    output: OutputOption = Output.TABLE,
    gateway: GatewayOption = None,
    *,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Show it again and again, a job up to its end.")] = False,
) -> None:
    """Show all APIs and the newest jobs, an API's jobs, or one job."""
    from stream_infer.cli.owners import owner_of

    with closing(gateway_client(ctx, gateway)) as client:
        job_id = job
        if job is None and name is not None and owner_of(client, name).startswith("jobs/"):
            job_id, name = name, None
        if job_id is not None:
            _job(client, job_id, name, output, watch=watch)
        elif watch and output is Output.TABLE:
            _watch(lambda: _overview(client, name, limit))
        elif watch:
            raise UsageError(f"--watch with --output {output} follows one job: name it")
        else:
            _print_overview(client, name, limit, output)


def stop(
    ctx: typer.Context,
    job: Annotated[str, job_argument("The job's id.")],
    output: OutputOption = Output.TABLE,
    gateway: GatewayOption = None,
) -> None:
    """Stop a job: its items that have not begun are skipped, what is done stays."""
    from stream_infer.clients import calls

    with closing(gateway_client(ctx, gateway)) as client:
        body = client.ask(calls.stop(job))
    if output is not Output.TABLE:
        put(body, output)
    elif body.is_final:
        typer.echo(f"Job {job} is {body.state}.")
    elif body.cause is not None:
        typer.echo(f"Job {job} is {body.state}. Follow it:  stream-infer get {job} --watch")
    else:
        typer.echo(f"The stop of job {job} is recorded; the tracker has not shown it yet. Is it running?")


def _job(client: Gateway, job_id: str, api: str | None, output: Output, *, watch: bool) -> None:
    from stream_infer.cli.console import open_console
    from stream_infer.cli.following import follow
    from stream_infer.cli.job_tables import job_details
    from stream_infer.clients import calls

    body = client.ask(calls.job(job_id))
    if api is not None and body.api_name != api:
        raise UsageError(f"job {job_id} is one of {body.api_name}, not of {api}")
    if watch and not body.is_final:
        body = follow(client, job_id, open_console(stderr=output is not Output.TABLE))
    if output is not Output.TABLE:
        put(body, output)
    else:
        open_console().print(job_details(body))


def _print_overview(client: Gateway, api: str | None, limit: int, output: Output) -> None:
    from stream_infer.cli.console import open_console
    from stream_infer.clients import calls

    if output is Output.TABLE:
        open_console().print(_overview(client, api, limit))
    else:
        put(client.ask(calls.jobs(api=api, limit=limit)), output)


def _overview(client: Gateway, api: str | None, limit: int) -> RenderableType:
    from rich.console import Group

    from stream_infer.cli.api_tables import api_table, replica_table
    from stream_infer.cli.job_tables import job_table, plain
    from stream_infer.clients import calls

    apis = [body for body in client.ask(calls.apis()) if api in (None, body.name)]
    page = client.ask(calls.jobs(api=api, limit=limit))
    jobs: RenderableType = job_table(page.jobs) if page.jobs else "no jobs yet: stream-infer submit API ITEM…"
    more = f"\n… and older ones: --limit {min(100, limit * 5)}" if page.has_more else ""
    parts: list[RenderableType] = [api_table(apis, time.time()), ""]
    if api is not None:
        parts += [plain(f"{body.state}: {body.message}") for body in apis if body.message]
        parts += [f"endpoint: {client.url}/{api}", ""]
        replicas = [replica for body in apis for replica in body.replicas]
        parts += [replica_table(replicas), ""] if replicas else []
    return Group(*parts, jobs, more)


def _watch(look: Callable[[], RenderableType]) -> None:
    """Until Ctrl-C. A gateway that is not there at first is an error at once, one that goes away is waited for."""
    from rich.live import Live

    from stream_infer.cli.following import looks

    try:
        with Live(look(), auto_refresh=False) as live:
            time.sleep(WATCH_EVERY_S)
            for shown in looks(look, WATCH_EVERY_S):
                live.update(shown, refresh=True)
    except KeyboardInterrupt:
        return
