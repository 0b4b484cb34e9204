"""Which sources a job may name. The intake obeys the same settings again when it opens them."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import unquote, urlsplit

from stream_infer.http.problems import FieldError, Problem, ProblemKind
from stream_infer.jobs.sources import Directory
from stream_infer.jobs.spec import JobSpec
from stream_infer.settings import FetchSettings


def plain_directory(directory: Directory) -> Directory:
    """With an absolute path in place of a file:// URI, as the intake opens it."""
    path = _path_of("/directory/path", directory.path)
    return directory.model_copy(update={"path": path})


def check_source(spec: JobSpec, fetch: FetchSettings) -> None:
    """Raises a Problem that names the setting where the job's source is not allowed, or is no place at all."""
    if spec.jsonl is not None:
        _check("/jsonl/uri", spec.jsonl.uri, fetch)
    if spec.directory is not None:
        pointer, place = "/directory/path", spec.directory.path
        if place.startswith("s3://"):
            raise _refused(pointer, f"{_shown(place)} is in S3; a directory is one of this machine, file:///…")
        _check(pointer, place, fetch)


def _check(pointer: str, place: str, fetch: FetchSettings) -> None:
    if place.startswith("s3://"):
        _check_s3(pointer, place, fetch.allowed_s3_prefixes)
        return
    path = _path_of(pointer, place)
    # Links are followed, so that none below an allowed directory leads out of it.
    real = Path(os.path.realpath(path))
    if any(real.is_relative_to(os.path.realpath(allowed)) for allowed in fetch.allowed_directories):
        return
    listed = ", ".join(map(str, fetch.allowed_directories)) or "none"
    detail = (
        f"{_shown(str(real))} is below none of the allowed directories ({listed}): "
        "add its directory to fetch.allowed_directories in stream-infer.yaml"
    )
    raise _refused(pointer, detail)


def _check_s3(pointer: str, uri: str, allowed: list[str]) -> None:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    if not bucket or not {".", ".."}.isdisjoint(key.split("/")):
        raise _refused(pointer, f"{_shown(uri)} is no S3 address: write s3://bucket/key, without '.' and '..'")
    for prefix in allowed:
        start = prefix.rstrip("/")
        if uri == start or uri.startswith(f"{start}/"):
            return
    listed = ", ".join(allowed) or "none"
    detail = (
        f"{_shown(uri)} is below none of the allowed prefixes ({listed}): add its prefix to fetch.allowed_s3_prefixes"
    )
    raise _refused(pointer, detail)


def _path_of(pointer: str, place: str) -> str:
    path = _path_in_uri(place) if place.startswith("file://") else place
    if not path.startswith("/") or "\0" in path:
        detail = f"{_shown(place)} is no source: write file:///absolute/path or s3://bucket/key"
        raise _refused(pointer, detail)
    return path


def _path_in_uri(uri: str) -> str:
    try:
        parts = urlsplit(uri)
    except ValueError:
        return ""
    return unquote(parts.path) if parts.netloc in ("", "localhost") else ""


def _shown(text: str) -> str:
    return text if len(text) <= 200 else f"{text[:200]}…"


def _refused(pointer: str, detail: str) -> Problem:
    errors = [FieldError(pointer=pointer, detail=detail)]
    return Problem(ProblemKind.SOURCE_REFUSED, f"{pointer}: {detail}", errors=errors)
