"""`stream-infer submit`: a job from items, a file or a directory; with --wait, up to its end."""

from __future__ import annotations

import sys
import uuid
from contextlib import closing
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stream_infer.cli.context import Output, OutputOption
from stream_infer.cli.gateway_access import GatewayOption, gateway_client
from stream_infer.cli.naming import Command
from stream_infer.errors import UsageError

if TYPE_CHECKING:
    from stream_infer.cli.client import GatewayClient
    from stream_infer.gateway.representations import JobBody

INTERRUPTED = 130


def register(app: typer.Typer) -> None:
    app.command(cls=Command)(submit)


def submit(
    ctx: typer.Context,
    api: Annotated[str, typer.Argument(metavar="API", help="The API that is to serve the job.")],
    items: Annotated[list[str] | None, typer.Argument(metavar="ITEM", help="Items: JSON, or plain text.")] = None,
    file: Annotated[
        str | None, typer.Option("--file", metavar="FILE", help="A file with one JSON value a line, or s3://….")
    ] = None,
    directory: Annotated[
        str | None, typer.Option("--dir", metavar="DIR", help="A directory: each file is an item.")
    ] = None,
    include: Annotated[
        list[str] | None, typer.Option(metavar="GLOB", help="Only files of --dir that match this glob.")
    ] = None,
    exclude: Annotated[
        list[str] | None, typer.Option(metavar="GLOB", help="No files of --dir that match this glob.")
    ] = None,
    config: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE",
            help="Kept with the job, for predictors that ask whose items they get, and for on_job_complete.",
        ),
    ] = None,
    timeout: Annotated[
        float | None, typer.Option(min=0.001, metavar="SECONDS", help="Seconds until the job is ended.")
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="How many workers the job wants; no more than the API's workers.max."),
    ] = None,
    output: OutputOption = Output.TABLE,
    gateway: GatewayOption = None,
    *,
    wait: Annotated[bool, typer.Option("--wait", help="Follow the job to its end.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be enqueued; change nothing.")] = False,
) -> None:
    """Submit a job. With --wait, exit 0 means that every item succeeded, 1 that not all did."""
    from stream_infer.cli.job_source import config_of, lines_that_allow, source_of

    spec: dict[str, Any] = source_of(items or [], file, directory, include or [], exclude or [])
    spec["config"] = config_of(config or [])
    if timeout is not None:
        spec["timeout"] = timeout
    if workers is not None:
        spec["workers"] = workers
    with closing(gateway_client(ctx, gateway)) as client:
        try:
            if dry_run:
                _show_dry_run(client, api, spec, output)
                return
            job = client.submit(api, spec, uuid.uuid4().hex)
        except UsageError as error:
            lines = lines_that_allow(spec, str(error))
            if lines is not None:
                error.add_note(lines)
            raise
        job = _wait(client, job, output) if wait else job
    if output is Output.JSON:
        sys.stdout.write(job.model_dump_json(indent=2) + "\n")
    else:
        _show(job, is_waited_for=wait)
    if wait and job.state != "succeeded":
        raise typer.Exit(1)


def _wait(client: GatewayClient, job: JobBody, output: Output) -> JobBody:
    """Ctrl-C ends the waiting, not the job."""
    from stream_infer.cli.console import open_console
    from stream_infer.cli.following import follow

    console = open_console(stderr=output is Output.JSON)
    try:
        return follow(client, job.job_id, console)
    except KeyboardInterrupt:
        note = f"\nJob {job.job_id} goes on.\n{_next_steps(job)}\n  stream-infer stop {job.job_id}\n"
        sys.stderr.write(note)
        raise typer.Exit(INTERRUPTED) from None


def _show(job: JobBody, *, is_waited_for: bool) -> None:
    from stream_infer.cli.console import open_console
    from stream_infer.cli.job_tables import job_details

    if not is_waited_for:
        typer.echo(f"Job {job.job_id} is submitted to {job.api_name}.\n{_next_steps(job)}")
        return
    open_console().print(job_details(job))
    if job.counts.rejected:
        typer.echo(f"\nWhy items failed:  stream-infer dlq ls {job.job_id}")
    if job.counts.succeeded:
        typer.echo(f"\nThe results:       stream-infer results {job.job_id}")


def _next_steps(job: JobBody) -> str:
    return f"  stream-infer get {job.job_id} --watch\n  stream-infer results {job.job_id}"


def _show_dry_run(client: GatewayClient, api: str, spec: dict[str, Any], output: Output) -> None:
    import json

    from stream_infer.cli.job_tables import counted

    found = client.dry_run(api, spec)
    if output is Output.JSON:
        sys.stdout.write(found.model_dump_json(indent=2) + "\n")
        return
    shown = found.preview or []
    size = counted(found.items, "item") if found.items is not None else "an unknown number of items"
    typer.echo(f"{api} would get {size}" + (f"; the first {len(shown)}:" if shown else "."))
    for item in shown:
        typer.echo(f"  {item if isinstance(item, str) else json.dumps(item, ensure_ascii=False)}")
