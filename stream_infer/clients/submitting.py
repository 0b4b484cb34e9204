"""Submitting a job: a source that the gateway cannot read is sent before, and goes again where the job is refused."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, TypedDict, TypeVar
from urllib.parse import urlsplit

from stream_infer.clients import calls
from stream_infer.clients.errors import RequestRefused
from stream_infer.clients.given import Source
from stream_infer.clients.steps import Steps, ask
from stream_infer.errors import StreamInferError
from stream_infer.gateway.representations import JobBody, UploadBody

T = TypeVar("T")


class JobOptions(TypedDict, total=False):
    """What a job may have beside its source, as docs/http.md says it."""

    config: Mapping[str, Any]
    timeout: float
    workers: int
    batch_size: int
    breaker: Mapping[str, Any]
    results: Mapping[str, Any]
    assemble: Mapping[str, Any]
    webhook: Mapping[str, Any] | str


def submitting(
    url: str, api: str, source: Source, options: Mapping[str, Any], idempotency_key: str | None
) -> Steps[JobBody]:
    """The job. Without a key of the caller's, each submission has one of its own, so that one that is sent again after
    a lost answer is one job."""

    def submit(spec: Mapping[str, Any]) -> Steps[JobBody]:
        return ask(calls.submit(api, {**spec, **options}, idempotency_key or uuid.uuid4().hex))

    return reaching(url, source, submit, keeps=True)


def reaching(
    url: str,
    source: Source,
    then: Callable[[Mapping[str, Any]], Steps[T]],
    *,
    keeps: bool,
    sent: Callable[[UploadBody], None] = lambda _upload: None,
) -> Steps[T]:
    """What `then` makes of the source's spec. Where the gateway at `url` cannot read it, it is sent before, which
    `sent` is told; the upload goes again where it is not kept, or what follows is refused."""
    if source.upload is None or (source.spec is not None and not is_elsewhere(url)):
        assert source.spec is not None
        try:
            return (yield from then(source.spec))
        except RequestRefused as error:
            if source.upload is None or not is_about_reading(error):
                raise
    upload = yield from ask(calls.upload(source.upload.name, source.upload.body))
    sent(upload)
    try:
        made = yield from then(source.upload.spec(upload.uri))
    except StreamInferError as error:
        # Behind a lost answer a job may be there, and read it.
        if not keeps or isinstance(error, RequestRefused):
            yield from _forget(upload)
        raise
    if not keeps:
        yield from _forget(upload)
    return made


def _forget(upload: UploadBody) -> Steps[None]:
    """What is left nevertheless goes by itself within a day."""
    with suppress(StreamInferError):
        yield from ask(calls.remove_upload(upload.upload_id))


def is_elsewhere(url: str) -> bool:
    """Whether the gateway at `url` is on another machine, whose files are not ours."""
    return urlsplit(url).hostname not in ("127.0.0.1", "localhost", "::1")


def is_about_reading(error: RequestRefused) -> bool:
    """Whether the gateway refuses a file that it may not read, which we can."""
    return "fetch.allowed_directories" in str(error)
