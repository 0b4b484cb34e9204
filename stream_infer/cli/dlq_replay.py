"""`stream-infer dlq replay`: dead letters run again, each once."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stream_infer.cli.context import Output, OutputOption
from stream_infer.cli.dlq_filter import ExceptionOption, MessageOption, Owner, StageOption, query_of
from stream_infer.cli.gateway_access import GatewayOption, gateway_client
from stream_infer.cli.printing import put
from stream_infer.errors import UsageError

if TYPE_CHECKING:
    from stream_infer.gateway.dead_letters.bodies import ReplayBody


def replay(
    ctx: typer.Context,
    owner: Owner,
    refs: Annotated[
        list[str] | None, typer.Argument(metavar="REF", help="As `dlq ls` gives them (default: all).")
    ] = None,
    stage: StageOption = None,
    exception: ExceptionOption = None,
    message: MessageOption = None,
    output: OutputOption = Output.TABLE,
    gateway: GatewayOption = None,
    *,
    wait: Annotated[bool, typer.Option("--wait", help="Follow the job to its end.")] = False,
) -> None:
    """Run dead letters again: all of a job that has ended, or those of an API that belong to no job.

    Can be repeated: nothing is replayed twice. Exit 1 if some could not be replayed, or, with --wait, failed again.
    """
    from stream_infer.cli.owners import owner_of
    from stream_infer.clients import calls

    wanted: dict[str, Any] = dict(query_of(stage, exception, message))
    if refs and wanted:
        raise UsageError("name dead letters by REF, or choose them by --stage, --exception and --message; not both")
    with closing(gateway_client(ctx, gateway)) as client:
        whose = owner_of(client, owner)
        if wait and whose.startswith("apis/"):
            raise UsageError(f"--wait follows a job, and {owner} is an API: its job-less items have no common end")
        done = client.ask(calls.replay(whose, {"refs": refs} if refs else wanted))
        job = None
        if wait and done.job_id is not None:
            from stream_infer.cli.console import open_console
            from stream_infer.cli.following import follow

            job = follow(client, done.job_id, open_console(stderr=output is not Output.TABLE))
    if output is not Output.TABLE:
        put(done if job is None else job, output)
    else:
        typer.echo("\n".join(told(done, owner)))
    if done.refused or done.unknown or (job is not None and job.state != "succeeded"):
        raise typer.Exit(1)


def told(done: ReplayBody, owner: str) -> list[str]:
    """What became of it, a line each."""
    from stream_infer.cli.job_tables import counted

    said = counted(done.replayed, "dead letter")
    verb = "runs" if done.replayed == 1 else "run"
    where = f" in generation {done.generation} of job {done.job_id}" if done.generation is not None else ""
    if done.replayed or not done.already_replayed:
        lines = [f"{said} {verb} again{where}" if done.replayed else f"{owner} has nothing to replay"]
    else:
        lines = ["nothing is left to replay"]
    if done.already_replayed:
        lines.append(f"  {done.already_replayed:,} had been replayed before")
    if done.of_jobs:
        lines.append(f"  {done.of_jobs:,} belong to jobs: replay them with theirs, `stream-infer dlq replay JOB`")
    if done.unknown:
        lines.append(f"  not there: {', '.join(done.unknown)}")
    lines += [f"  {refused.ref} cannot be replayed: {refused.reason}" for refused in done.refused]
    if not done.is_complete:
        lines.append("  and the gateway goes on; the same command says later how far it is")
    if done.job_id is not None and done.replayed:
        lines.append(f"  stream-infer get {done.job_id} --watch")
    return lines
