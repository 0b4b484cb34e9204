"""What `submit` asks the gateway for; a file of this machine that the gateway does not read is sent before."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Mapping
from typing import Any

import typer

from stream_infer.cli.context import Output
from stream_infer.cli.job_tables import counted, planned_item
from stream_infer.cli.printing import put_one
from stream_infer.clients import calls
from stream_infer.clients.gateway import Gateway
from stream_infer.clients.given import Source, of_spec
from stream_infer.clients.steps import Pour, Steps, ask
from stream_infer.clients.submitting import reaching
from stream_infer.errors import UsageError
from stream_infer.gateway.representations import JobBody, UploadBody


def submitted(client: Gateway, api: str, spec: Mapping[str, Any]) -> JobBody:
    def submit(asked: Mapping[str, Any]) -> Steps[JobBody]:
        return ask(calls.submit(api, asked, uuid.uuid4().hex))

    source = of_spec(spec)
    return client.run(reaching(client.url, source, submit, keeps=True, sent=_teller(source)))


def show_plan(client: Gateway, api: str, spec: Mapping[str, Any], limit: int, output: Output) -> None:
    """What would be enqueued, as it comes. Raises UsageError where the source breaks further on."""
    end: dict[str, Any] = {}

    def take(line: bytes) -> None:
        nonlocal end
        end = json.loads(line)
        if output is not Output.TABLE:
            put_one(end, output)
        if output is Output.TABLE and "ordinal" in end:
            typer.echo(f"  {planned_item(end)}")

    def look(asked: Mapping[str, Any]) -> Steps[None]:
        yield Pour(calls.dry_run(api, asked, limit), take)

    source = of_spec(spec)
    client.run(reaching(client.url, source, look, keeps=False, sent=_teller(source)))
    if "error" in end:
        raise UsageError(f"behind {counted(end['items'], 'item')} the job would fail: {end['error']}")
    if output is Output.TABLE:
        size = counted(end["items"], "item")
        typer.echo(f"{api} would get {size}." if end["is_all"] else f"{api} would get more than {size}; see --limit.")


def _teller(source: Source) -> Callable[[UploadBody], None]:
    name = "" if source.upload is None else source.upload.name

    def tell(upload: UploadBody) -> None:
        typer.echo(f"{name} is sent to the gateway, which does not read it here: {upload.bytes:,} bytes.", err=True)

    return tell
