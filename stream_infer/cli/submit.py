"""`stream-infer submit`: a job from items or any other source; with --wait, up to its end."""

from __future__ import annotations

import sys
from contextlib import closing
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stream_infer.cli.completion import api_argument
from stream_infer.cli.context import Output, OutputOption
from stream_infer.cli.gateway_access import GatewayOption, gateway_client
from stream_infer.cli.naming import Command
from stream_infer.cli.printing import put
from stream_infer.errors import UsageError
from stream_infer.results import ResultFormat

if TYPE_CHECKING:
    from stream_infer.clients.gateway import Gateway
    from stream_infer.gateway.representations import JobBody

INTERRUPTED = 130


class Assemble(StrEnum):
    NONE = "none"
    LINE = "line"


def _source(name: str, metavar: str, text: str) -> Any:
    return typer.Option(name, metavar=metavar, help=text)


def register(app: typer.Typer) -> None:
    app.command(cls=Command)(submit)


def submit(
    ctx: typer.Context,
    api: Annotated[str, api_argument("The API that is to serve the job.")],
    items: Annotated[list[str] | None, typer.Argument(metavar="ITEM", help="Items: JSON, or plain text.")] = None,
    file: Annotated[str | None, _source("--file", "FILE", "A file with one JSON value a line, or s3://….")] = None,
    directory: Annotated[str | None, _source("--dir", "DIR", "A directory: each file is an item.")] = None,
    csv: Annotated[str | None, _source("--csv", "FILE", "A CSV file, or s3://…: each row is an item.")] = None,
    parquet: Annotated[
        str | None, _source("--parquet", "FILE", "A Parquet file, or s3://…: each row is an item.")
    ] = None,
    tar: Annotated[
        str | None, _source("--tar", "FILE", "A tar archive, or s3://…: each file in it is an item.")
    ] = None,
    requests: Annotated[
        str | None,
        _source("--requests", "FILE", "A file of OpenAI's Batch API, or s3://…: the body of each request is an item."),
    ] = None,
    s3_prefix: Annotated[
        str | None, _source("--s3-prefix", "S3-URI", "Each object whose address begins so is an item.")
    ] = None,
    manifest: Annotated[
        str | None, _source("--manifest", "FILE", "A manifest, or s3://…: each object that it names is an item.")
    ] = None,
    file_paths: Annotated[
        list[str] | None,
        _source("--file-paths", "S3-URI", "The address of each object that begins so is an item (may be repeated)."),
    ] = None,
    delimited_files: Annotated[
        list[str] | None,
        _source("--delimited-files", "S3-URI", "Each line of each object is an item: JSON (may be repeated)."),
    ] = None,
    plugin: Annotated[
        str | None, _source("--plugin", "NAME[=JSON]", "What a package's source of that name gives, by its config.")
    ] = None,
    include: Annotated[list[str] | None, _source("--include", "GLOB", "Only what matches this glob.")] = None,
    exclude: Annotated[list[str] | None, _source("--exclude", "GLOB", "Not what matches this glob.")] = None,
    content_type: Annotated[
        str | None, _source("--content-type", "TYPE", "What the objects of --s3-prefix or --manifest are.")
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
    batch_size: Annotated[
        int | None,
        typer.Option(
            min=1, metavar="N", help="Items a call at most, where the predictor has an instance for each job."
        ),
    ] = None,
    assemble: Annotated[
        Assemble | None,
        typer.Option(help="One KEY.out of results for each object of the source; line: each output ends a line."),
    ] = None,
    assemble_at: Annotated[
        str | None,
        typer.Option(metavar="PLACE", help="Where these lie: below one of sink.allowed_outputs, else with the job."),
    ] = None,
    webhook: Annotated[
        str | None, typer.Option(metavar="URL", help="Where the job's end is told, in place of where the API says.")
    ] = None,
    result_format: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar="FORMAT",
            help=f"How results lie in the store, else as the API says: {', '.join(ResultFormat)}, or a plugin's.",
        ),
    ] = None,
    input_filter: Annotated[
        str | None,
        typer.Option(metavar="FILTER", help="JSONPath ($…) or JMESPath: what the predictor gets of an item."),
    ] = None,
    output_filter: Annotated[
        str | None, typer.Option(metavar="FILTER", help="JSONPath ($…) or JMESPath: what is kept of an output.")
    ] = None,
    output: OutputOption = Output.TABLE,
    gateway: GatewayOption = None,
    *,
    join_input: Annotated[
        bool | None, typer.Option("--join-input/--no-join", help="Results have what was sent beside what came out.")
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Follow the job to its end.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List what would be enqueued; change nothing.")] = False,
    limit: Annotated[
        int, typer.Option("--limit", min=1, max=1_000_000, metavar="N", help="--dry-run lists at most so many items.")
    ] = 1000,
    split_lines: Annotated[bool, typer.Option("--split-lines", help="Each line of an object is an item.")] = False,
    gzip: Annotated[bool, typer.Option("--gzip", help="Objects are unpacked.")] = False,
) -> None:
    """Submit a job. With --wait, exit 0 means that every item succeeded, 1 that not all did."""
    from stream_infer.cli.given import given, output_place
    from stream_infer.cli.job_source import Choice, config_of, lines_that_allow, source_of
    from stream_infer.cli.submission import show_plan, submitted

    spec: dict[str, Any] = source_of(
        Choice(
            items=items or (),
            file=file,
            directory=directory,
            csv=csv,
            parquet=parquet,
            tar=tar,
            requests=requests,
            s3_prefix=s3_prefix,
            manifest=manifest,
            file_paths=file_paths or (),
            delimited_files=delimited_files or (),
            plugin=plugin,
            includes=include or (),
            excludes=exclude or (),
            split_lines=split_lines,
            gzip=gzip,
            content_type=content_type,
        )
    )
    joined = None if join_input is None else "input" if join_input else "none"
    place = None if assemble_at is None else output_place(assemble_at)
    spec |= {"config": config_of(config or [])} | given(
        {
            "timeout": timeout,
            "workers": workers,
            "batch_size": batch_size,
            "webhook": webhook,
            "assemble": {"separator": assemble and assemble.value, "output": place},
            "results": {
                "format": result_format,
                "join": joined,
                "input_filter": input_filter,
                "output_filter": output_filter,
            },
        }
    )
    with closing(gateway_client(ctx, gateway)) as client:
        try:
            if dry_run:
                show_plan(client, api, spec, limit, output)
                return
            job = submitted(client, api, spec)
        except UsageError as error:
            lines = lines_that_allow(spec, str(error))
            if lines is not None:
                error.add_note(lines)
            raise
        job = _wait(client, job, output) if wait else job
    if output is not Output.TABLE:
        put(job, output)
    else:
        _show(job, is_waited_for=wait)
    if wait and job.state != "succeeded":
        raise typer.Exit(1)


def _wait(client: Gateway, job: JobBody, output: Output) -> JobBody:
    """Ctrl-C ends the waiting, not the job."""
    from stream_infer.cli.console import open_console
    from stream_infer.cli.following import follow

    console = open_console(stderr=output is not Output.TABLE)
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
