"""Which sources a job may name. The intake obeys the same settings again when it opens them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from stream_infer import plugins
from stream_infer.http.problems import FieldError, Problem, ProblemKind
from stream_infer.jobs.sources import Directory, PlacedSources
from stream_infer.jobs.spec import JobSpec
from stream_infer.nearest import did_you_mean
from stream_infer.settings import FetchSettings
from stream_infer.uploads import upload_of


def plain_directory(directory: Directory) -> Directory:
    """With an absolute path in place of a file:// URI, as the intake opens it."""
    path = _path_of("/directory/path", directory.path)
    return directory.model_copy(update={"path": path})


def placed_sources(spec: JobSpec) -> dict[str, Any]:
    """The sources of `spec` as a job keeps them: a directory as the intake opens it."""
    sources = {name: getattr(spec, name) for name in PlacedSources.model_fields}
    if spec.directory is not None:
        sources["directory"] = plain_directory(spec.directory)
    return sources


def check_source(spec: JobSpec, fetch: FetchSettings) -> None:
    """Raises a Problem that names the setting where the job's source is not allowed, or is no place at all.

    What a manifest names is checked when it is read.
    """
    for name in ("jsonl", "manifest", "csv", "parquet", "tar", "requests"):
        if (file := getattr(spec, name)) is not None:
            _check(f"/{name}/uri", file.uri, fetch)
    for name in ("file_path_lister", "delimited_files"):
        if (objects := getattr(spec, name)) is not None:
            for number, start in enumerate(objects.s3_paths):
                _check_s3(f"/{name}/s3_paths/{number}", start, fetch.allowed_s3_prefixes)
    if spec.s3_prefix is not None:
        _check_s3("/s3_prefix/uri", spec.s3_prefix.uri, fetch.allowed_s3_prefixes)
    if spec.plugin is not None:
        _check_plugin(spec.plugin.name)
    if spec.directory is not None:
        pointer, place = "/directory/path", spec.directory.path
        if place.startswith("s3://"):
            raise _refused(pointer, f"{_shown(place)} is in S3: give it as s3_prefix; a directory is file:///…")
        _check(pointer, place, fetch)


def _check_plugin(name: str) -> None:
    known = plugins.names(plugins.Group.SOURCES)
    if name not in known:
        listed = f"there are {', '.join(known)}" if known else "no package here adds any"
        detail = f"{_shown(name)} is no source that is installed{did_you_mean(name, known, f'; {listed}')}"
        raise _refused("/plugin/name", detail)


def _check(pointer: str, place: str, fetch: FetchSettings) -> None:
    if place.startswith("s3://"):
        _check_s3(pointer, place, fetch.allowed_s3_prefixes)
        return
    if upload_of(place) is not None and pointer != "/directory/path":
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
    if not uri.startswith("s3://") or not bucket or not {".", ".."}.isdisjoint(key.split("/")):
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
        detail = (
            f"{_shown(place)} is no source: write file:///absolute/path, s3://bucket/key, or what an upload answered"
        )
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
