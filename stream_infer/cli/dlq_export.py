"""`stream-infer dlq export`: dead letters as JSON lines, or their payloads as files of a folder."""

from __future__ import annotations

import json
import sys
from base64 import b64decode
from collections.abc import Iterable
from contextlib import closing
from mimetypes import guess_extension
from pathlib import Path
from typing import Annotated, Any

import typer

from stream_infer.cli.context import Output
from stream_infer.cli.dlq_filter import ExceptionOption, MessageOption, Owner, StageOption, query_of
from stream_infer.cli.gateway_access import GatewayOption, gateway_client
from stream_infer.cli.printing import put_one
from stream_infer.errors import UsageError

INDEX = "index.jsonl"
_OWN_EXTENSIONS = {"application/json": ".json", "application/x-npy": ".npy", "image/jpeg": ".jpg"}


def export(
    ctx: typer.Context,
    owner: Owner,
    stage: StageOption = None,
    exception: ExceptionOption = None,
    message: MessageOption = None,
    directory: Annotated[
        Path | None, typer.Option("--dir", metavar="FOLDER", help="Each payload as a file, and an index.jsonl.")
    ] = None,
    output: Annotated[
        str,
        typer.Option("--output", "-o", metavar="FILE|json|yaml", help="A file; json: one dead letter a line, here."),
    ] = "json",
    gateway: GatewayOption = None,
    *,
    replayed: Annotated[bool, typer.Option("--replayed", help="Those that run again, too.")] = False,
) -> None:
    """Write all dead letters, with payload and reason, as JSON lines or into a folder."""
    from stream_infer.cli.job_tables import counted
    from stream_infer.cli.owners import owner_of
    from stream_infer.cli.results import write_lines
    from stream_infer.clients import calls

    if directory is not None and output != "json":
        raise UsageError("--dir and --output each say where to; give one")
    query = query_of(stage, exception, message) | ({"replayed": "true"} if replayed else {})
    with closing(gateway_client(ctx, gateway)) as client:
        whose = owner_of(client, owner)
        if directory is not None:
            count = write_folder(client.lines(calls.exported(whose, {**query, "payload": "base64"})), directory)
            typer.echo(f"{counted(count, 'payload')} and {INDEX} are in {directory.absolute()}")
        elif output == "json":
            for line in client.lines(calls.exported(whose, query)):
                sys.stdout.buffer.write(line)
            sys.stdout.buffer.flush()
        elif output == "yaml":
            for line in client.lines(calls.exported(whose, query)):
                put_one(json.loads(line), Output.YAML)
        else:
            count = write_lines(client.lines(calls.exported(whose, query)), Path(output))
            typer.echo(f"{counted(count, 'dead letter')} {'is' if count == 1 else 'are'} in {Path(output).absolute()}")


def write_folder(lines: Iterable[bytes], folder: Path) -> int:
    """Each payload to the byte, under a name of our own; the index, written last, says what each is. Raises UsageError.

    Names come from places in Kafka alone: what an item calls itself is no file's name.
    """
    count = 0
    try:
        folder.mkdir(parents=True, exist_ok=True)
        draft = folder / f".{INDEX}.part"
        with draft.open("w", encoding="utf-8") as index:
            for line in lines:
                letter: dict[str, Any] = json.loads(line)
                name = file_name(letter["ref"], letter["content_type"])
                payload, encoding = letter.pop("payload"), letter.pop("payload_encoding")
                (folder / name).write_bytes(b64decode(payload) if encoding == "base64" else b"")
                index.write(json.dumps({"file": name, **letter}, ensure_ascii=False) + "\n")
                count += 1
        draft.replace(folder / INDEX)
    except OSError as error:
        raise UsageError(f"--dir {folder} cannot be written: {error.strerror or error}") from error
    return count


def file_name(ref: str, content_type: str) -> str:
    """`PARTITION-OFFSET`, and an ending that programs know the type by."""
    kind = content_type.partition(";")[0].strip().lower()
    return ref + (_OWN_EXTENSIONS.get(kind) or guess_extension(kind) or ".bin")
