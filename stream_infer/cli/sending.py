"""A job's file, sent to a gateway that cannot read it where it lies."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import typer

from stream_infer.cli.job_source import local_file
from stream_infer.errors import StreamInferError, UsageError

if TYPE_CHECKING:
    from stream_infer.cli.client import GatewayClient


def must_be_sent(url: str, spec: Mapping[str, Any]) -> bool:
    """Whether the source is a file of this machine, and the gateway at `url` is on another one."""
    return local_file(spec) is not None and urlsplit(url).hostname not in ("127.0.0.1", "localhost", "::1")


def may_be_sent(error: UsageError, spec: Mapping[str, Any]) -> bool:
    """Whether `error` says that the gateway may not read the file, which we can."""
    return local_file(spec) is not None and "fetch.allowed_directories" in str(error)


@contextmanager
def sent(client: GatewayClient, spec: Mapping[str, Any], *, keeps: bool) -> Iterator[dict[str, Any]]:
    """`spec` with the upload in place of the file; removed again where it is not `keeps` or what follows fails."""
    found = local_file(spec)
    assert found is not None
    kind, path = found
    upload = client.upload(path)
    typer.echo(f"{path.name} is sent to the gateway, which does not read it here: {upload.bytes:,} bytes.", err=True)
    done = False
    try:
        yield {**spec, kind: {**spec[kind], "uri": upload.uri}}
        done = keeps
    finally:
        if not done:
            with suppress(StreamInferError):
                client.remove_upload(upload.upload_id)
