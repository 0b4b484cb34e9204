"""`stream-infer results`: what a job has brought, as a table, as JSON lines, or into a file."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Annotated

import typer

from stream_infer.cli.completion import job_argument
from stream_infer.cli.context import Output
from stream_infer.cli.gateway_access import GatewayOption, gateway_client
from stream_infer.cli.naming import Command
from stream_infer.cli.printing import put_one
from stream_infer.errors import UsageError

ROWS = 50


def register(app: typer.Typer) -> None:
    app.command(cls=Command)(results)


def results(
    ctx: typer.Context,
    job: Annotated[str, job_argument("The job's id.")],
    output: Annotated[
        str,
        typer.Option(
            "--output", "-o", metavar="FILE|table|json|yaml", help="json: one result a line; yaml: a document each."
        ),
    ] = "table",
    gateway: GatewayOption = None,
    *,
    failures: Annotated[bool, typer.Option("--failures", help="The failed items instead.")] = False,
    links: Annotated[
        bool, typer.Option("--links", help="Links to the stored objects instead (a store in S3).")
    ] = False,
    expires: Annotated[
        int, typer.Option("--expires", min=1, metavar="SECONDS", help="How long the links are good for.")
    ] = 3600,
) -> None:
    """Show the results that are stored so far, in the order of the job's items, whatever their format."""
    from stream_infer.cli.job_tables import counted
    from stream_infer.clients import calls

    if links and failures:
        raise UsageError("--links are those of results: give it without --failures")
    with closing(gateway_client(ctx, gateway)) as client:
        if links and output == "table":
            for line in client.lines(calls.links(job, expires)):
                typer.echo(json.loads(line)["url"])
            return
        asked = calls.links(job, expires) if links else calls.failures(job) if failures else calls.results(job)
        lines = client.lines(asked)
        if output == "json":
            for line in lines:
                sys.stdout.buffer.write(line)
            sys.stdout.buffer.flush()
        elif output == "yaml":
            for line in lines:
                put_one(json.loads(line), Output.YAML)
        elif output == "table":
            _show(lines, what="failures" if failures else "results")
        else:
            count = write_lines(lines, Path(output))
            said = counted(count, "link" if links else "failure" if failures else "result")
            typer.echo(f"{said} {'is' if count == 1 else 'are'} in {Path(output).absolute()}")


def write_lines(lines: Iterator[bytes], path: Path) -> int:
    """The number of lines written. The file is there whole or not at all. Raises UsageError."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    count = 0
    try:
        with partial.open("wb") as file:
            for line in lines:
                file.write(line)
                count += 1
        partial.replace(path)
    except OSError as error:
        raise UsageError(f"--output {path} cannot be written: {error.strerror or error}") from error
    finally:
        partial.unlink(missing_ok=True)
    return count


def _show(lines: Iterator[bytes], what: str) -> None:
    from stream_infer.cli.console import open_console
    from stream_infer.cli.job_tables import result_table

    rows = list(islice(lines, ROWS))
    if not rows:
        typer.echo(f"no {what} are stored yet")
        return
    open_console().print(result_table(rows))
    if next(lines, None) is not None:
        typer.echo(f"… and more than these {ROWS}; all of them:  --output FILE, or --output json")
