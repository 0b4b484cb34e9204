"""`stream-infer predict API PAYLOAD`: one item, its output on stdout."""

from __future__ import annotations

import json
import sys
from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from stream_infer.cli.completion import api_argument
from stream_infer.cli.gateway_access import GatewayOption, gateway_client
from stream_infer.cli.naming import Command
from stream_infer.errors import UsageError

_JSON = "application/json"


def register(app: typer.Typer) -> None:
    app.command(cls=Command)(predict)


def predict(
    ctx: typer.Context,
    api: Annotated[
        str,
        api_argument("The API that is asked; it has realtime replicas."),
    ],
    payload: Annotated[
        str, typer.Argument(metavar="PAYLOAD", help="One item: JSON text, @FILE for a file's bytes, - for stdin.")
    ],
    content_type: Annotated[
        str | None,
        typer.Option("--content-type", metavar="TYPE", help="What it is (default: by the file's name; else JSON)."),
    ] = None,
    timeout: Annotated[
        float | None, typer.Option("--timeout", min=0.001, metavar="SECONDS", help="How long to wait for the answer.")
    ] = None,
    gateway: GatewayOption = None,
) -> None:
    """Ask an API for one prediction, and print it."""
    from stream_infer.clients import calls

    data, kind = _read(payload, content_type)
    with closing(gateway_client(ctx, gateway)) as client:
        output, output_type = client.ask(calls.predict(api, data, kind, timeout))
    sys.stdout.buffer.write(output)
    if output and output_type.startswith((_JSON, "text/")) and not output.endswith(b"\n"):
        sys.stdout.buffer.write(b"\n")
    sys.stdout.buffer.flush()


def _read(payload: str, content_type: str | None) -> tuple[bytes, str]:
    """Its bytes and what they are. Raises UsageError."""
    from connectors.content_types import content_type_of

    if payload == "-":
        return sys.stdin.buffer.read(), content_type or _JSON
    if payload.startswith("@"):
        file = Path(payload[1:])
        try:
            return file.read_bytes(), content_type_of(file.name, given=content_type)
        except OSError as error:
            raise UsageError(f"PAYLOAD: {file} cannot be read: {error.strerror or error}") from None
    if content_type is None:
        try:
            json.loads(payload)
        except ValueError as error:
            raise UsageError(
                f"PAYLOAD is not JSON: {error}; quote text ('\"hello\"'), write @{payload} for the file of that name, "
                "or say what it is with --content-type"
            ) from None
    return payload.encode(), content_type or _JSON
