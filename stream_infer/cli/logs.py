"""`stream-infer logs`: what a predictor printed, and what roles said, while they worked on a job."""

from __future__ import annotations

import os
import sys
from contextlib import closing
from typing import TYPE_CHECKING, Annotated

import typer

from stream_infer.cli.completion import job_argument
from stream_infer.cli.context import Output
from stream_infer.cli.gateway_access import GatewayOption, gateway_client
from stream_infer.cli.naming import Command
from stream_infer.cli.printing import put_one

if TYPE_CHECKING:
    from collections.abc import Iterable

    from stream_infer.gateway.representations import LogLineBody

_INTERRUPTED = 130


def register(app: typer.Typer) -> None:
    app.command(cls=Command)(logs)


def logs(
    ctx: typer.Context,
    job: Annotated[str, job_argument("The job's id.")],
    output: Annotated[
        Output, typer.Option("--output", "-o", help="Plain lines for people, JSON or YAML for programs.")
    ] = Output.TABLE,
    gateway: GatewayOption = None,
    *,
    follow: Annotated[bool, typer.Option("--follow", help="Go on with new lines until the job has ended.")] = False,
) -> None:
    """Show what was said about a job, from all workers, the oldest first."""
    from stream_infer.clients.job import follow_lines, past_lines

    with closing(gateway_client(ctx, gateway)) as client:
        try:
            _print(follow_lines(client, job) if follow else past_lines(client, job), output)
        except KeyboardInterrupt:
            raise typer.Exit(_INTERRUPTED) from None
        except BrokenPipeError:
            # `| head` has seen enough. The interpreter's own flush at its end must find a place to go.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _print(lines: Iterable[LogLineBody], output: Output) -> None:
    from stream_infer.cli.job_lines import plain

    for line in lines:
        if output is not Output.TABLE:
            put_one(line, output)
            continue
        sys.stdout.write(plain(line) + "\n")
        sys.stdout.flush()
