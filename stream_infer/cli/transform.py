"""`stream-infer transform`: a batch transform job in SageMaker's words, from the shell."""

from __future__ import annotations

import sys
import time
from contextlib import closing
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stream_infer.cli.completion import api_argument
from stream_infer.cli.gateway_access import GatewayOption, gateway_client
from stream_infer.cli.given import given
from stream_infer.cli.naming import Command
from stream_infer.errors import UsageError

if TYPE_CHECKING:
    from stream_infer.clients.gateway import Gateway

_LONGEST_NAME = 63


class SplitType(StrEnum):
    NONE = "None"
    LINE = "Line"


class AssembleWith(StrEnum):
    NONE = "None"
    LINE = "Line"


class BatchStrategy(StrEnum):
    SINGLE = "SingleRecord"
    MULTI = "MultiRecord"


class Compression(StrEnum):
    NONE = "None"
    GZIP = "Gzip"


class JoinSource(StrEnum):
    NONE = "None"
    INPUT = "Input"


def register(app: typer.Typer) -> None:
    app.command(cls=Command)(transform)


def transform(
    ctx: typer.Context,
    api: Annotated[
        str,
        api_argument("The API that is to serve the job: SageMaker's model."),
    ],
    output: Annotated[
        str, typer.Option("--output", metavar="S3URI", help="Where KEY.out of each input object goes: S3OutputPath.")
    ],
    input_: Annotated[
        str | None, typer.Option("--input", metavar="S3URI", help="What the input objects' addresses begin with.")
    ] = None,
    manifest: Annotated[
        str | None, typer.Option("--manifest", metavar="S3URI", help="Or a manifest that names them.")
    ] = None,
    content_type: Annotated[
        str | None,
        typer.Option("--content-type", metavar="TYPE", help="What a record is, such as application/x-image."),
    ] = None,
    accept: Annotated[str | None, typer.Option("--accept", metavar="TYPE", help="What its answer is to be.")] = None,
    split_type: Annotated[SplitType, typer.Option("--split-type", help="A record is an object, or a line of one.")] = (
        SplitType.NONE
    ),
    assemble_with: Annotated[AssembleWith, typer.Option("--assemble-with", help="What follows each answer.")] = (
        AssembleWith.NONE
    ),
    compression: Annotated[Compression, typer.Option("--compression", help="Of the input objects.")] = Compression.NONE,
    strategy: Annotated[
        BatchStrategy | None, typer.Option("--batch-strategy", help="Lines one by one, or many in one request.")
    ] = None,
    max_payload_mb: Annotated[int | None, typer.Option(min=0, metavar="MB", help="Of one request (6; 0: any).")] = None,
    max_concurrent: Annotated[
        int | None, typer.Option(min=0, metavar="N", help="Requests at a time for each instance.")
    ] = None,
    instances: Annotated[int | None, typer.Option(min=1, metavar="N", help="Workers that the job wants.")] = None,
    input_filter: Annotated[
        str | None, typer.Option(metavar="JSONPATH", help="What of a record the model gets.")
    ] = None,
    output_filter: Annotated[
        str | None, typer.Option(metavar="JSONPATH", help="What of the answer, joined or not, is kept.")
    ] = None,
    join_source: Annotated[JoinSource, typer.Option("--join-source", help="Input: records with their answers.")] = (
        JoinSource.NONE
    ),
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="The job's name (default: the API's, and the time).")
    ] = None,
    gateway: GatewayOption = None,
    *,
    wait: Annotated[bool, typer.Option("--wait", help="Follow the job to its end.")] = False,
) -> None:
    """Submit a SageMaker batch transform job. With --wait, exit 0 means that every record succeeded."""
    from stream_infer.clients import calls

    if (input_ is None) == (manifest is None):
        raise UsageError("give the objects either by --input s3://bucket/prefix or by --manifest s3://bucket/key")
    body: dict[str, Any] = {
        "TransformJobName": name or _name(api),
        "ModelName": api,
        "TransformInput": {
            "DataSource": {
                "S3DataSource": {
                    "S3DataType": "S3Prefix" if manifest is None else "ManifestFile",
                    "S3Uri": input_ or manifest,
                }
            },
            "ContentType": content_type,
            "SplitType": split_type.value,
            "CompressionType": compression.value,
        },
        "TransformOutput": {"S3OutputPath": output, "Accept": accept, "AssembleWith": assemble_with.value},
        "BatchStrategy": None if strategy is None else strategy.value,
        "MaxPayloadInMB": max_payload_mb,
        "MaxConcurrentTransforms": max_concurrent,
        "DataProcessing": {
            "InputFilter": input_filter,
            "OutputFilter": output_filter,
            "JoinSource": join_source.value,
        },
        "TransformResources": None if instances is None else {"InstanceType": "local", "InstanceCount": instances},
    }
    with closing(gateway_client(ctx, gateway)) as client:
        client.ask(calls.transform(api, given(body)))
        _show(client, body["TransformJobName"], output, is_waited_for=wait)


def _name(api: str) -> str:
    """As SageMaker's SDK makes names: the time, to the millisecond."""
    now = time.time()
    stamp = time.strftime("%Y-%m-%d-%H-%M-%S", time.gmtime(now)) + f"-{int(now * 1000) % 1000:03d}"
    return f"{api[: _LONGEST_NAME - len(stamp) - 1].rstrip('-')}-{stamp}"


def _show(client: Gateway, name: str, output: str, *, is_waited_for: bool) -> None:
    from stream_infer.cli.console import open_console
    from stream_infer.cli.following import follow
    from stream_infer.cli.job_tables import job_details

    if not is_waited_for:
        typer.echo(f"Transform job {name} is submitted.\n  stream-infer get {name} --watch\n  stream-infer logs {name}")
        return
    console = open_console()
    try:
        job = follow(client, name, console)
    except KeyboardInterrupt:
        sys.stderr.write(f"\nJob {name} goes on.\n  stream-infer get {name} --watch\n  stream-infer stop {name}\n")
        raise typer.Exit(130) from None
    console.print(job_details(job))
    typer.echo(f"\nKEY.out of each input object that succeeded:  {output}")
    if job.counts.rejected:
        typer.echo(f"Why records failed:  stream-infer dlq ls {name}")
    if job.state != "succeeded":
        raise typer.Exit(1)
