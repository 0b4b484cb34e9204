"""Models that MLflow keeps: `runs:/RUN/path`, a run's artefacts, and of its registry `models:/NAME/VERSION` (or
`@alias`, or `/latest`).

Where the tracking store is a folder on this machine, and for runs whose artefacts lie in ./mlruns, they are used where
they lie: the layout is enough, {mlruns}/{experiment}/{run}/artifacts/{path}. All else is asked of MLflow's own client,
which is an extra, and copied.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import yaml

from connectors.models.cache import Copy, keep
from stream_infer.errors import PredictorUnavailable, ServiceUnavailable

DEFAULT_FOLDER = Path("mlruns")
_RUNS, _MODELS = "runs:/", "models:/"
_LOGGED = "m-"  # of an id of MLflow 3: a model that is in no registry
_UNREACHED = frozenset({"INTERNAL_ERROR", "TEMPORARILY_UNAVAILABLE", "REQUEST_LIMIT_EXCEEDED", "DEADLINE_EXCEEDED"})


@dataclass(frozen=True, slots=True)
class Tracking:
    """Where MLflow keeps what it tracks: a folder, http(s)://…, sqlite:///…; None asks MLflow's client, whose
    environment may say so. `max_bytes` bounds one model."""

    uri: str | None
    max_bytes: int

    @property
    def folder(self) -> Path | None:
        """The store, where it is a folder of this machine."""
        scheme, colon, _ = (self.uri or "").partition(":")
        if self.uri is None or (colon and scheme != "file"):
            return None
        return Path(unquote(urlsplit(self.uri).path) if colon else self.uri)


def fetch_from_mlflow(uri: str, cache: Path, tracking: Tracking) -> Path:
    """The artefacts' path, or that of their copy.

    Raises PredictorUnavailable, or ServiceUnavailable where the tracking server cannot be reached.
    """
    address = uri.rstrip("/")
    found = _in_run(address, tracking) if address.startswith(_RUNS) else _in_registry(address, tracking)
    if found is not None:
        return found
    if tracking.folder is not None:
        raise PredictorUnavailable(f"model {uri} is not in {tracking.folder}: look at its spelling")
    return _by_client(address, cache, tracking)


def _in_run(uri: str, tracking: Tracking) -> Path | None:
    run, _, path = uri.removeprefix(_RUNS).partition("/")
    _check_names(uri, run, *(path.split("/") if path else ()))
    for artifacts in sorted((tracking.folder or DEFAULT_FOLDER).absolute().glob(f"*/{run}/artifacts")):
        if (artifacts / path).exists():
            return artifacts / path
    return None


def _in_registry(uri: str, tracking: Tracking) -> Path | None:
    """By the registry's own files: models/{name}/version-{n}/meta.yaml, and an alias' number in aliases/{alias}."""
    folder = tracking.folder
    if folder is None:
        return None
    name, version = _named(uri)
    _check_names(uri, name, version.removeprefix("@"))
    home = folder / "models" / name
    if version.startswith("@"):
        alias = home / "aliases" / version[1:]
        version = alias.read_text().strip() if alias.is_file() else ""
    elif version == "latest":
        numbers = [int(path.name.removeprefix("version-")) for path in home.glob("version-*")]
        version = str(max(numbers, default=""))
    described = home / f"version-{version}" / "meta.yaml"
    if not described.is_file():
        return None
    meta = yaml.safe_load(described.read_text(encoding="utf-8")) or {}
    source = str(meta.get("storage_location") or meta.get("source") or "")
    path = Path(unquote(urlsplit(source).path) if source.startswith("file:") else source)
    return path if source and path.exists() else None


def _by_client(uri: str, cache: Path, tracking: Tracking) -> Path:
    try:
        from mlflow import artifacts
        from mlflow.tracking import MlflowClient
    except ImportError as error:
        raise PredictorUnavailable(
            f"model {uri} needs MLflow's client: pip install 'stream-infer[mlflow]', "
            "or set models.tracking_uri to the mlruns folder that it lies in"
        ) from error
    with _client_errors(uri):
        client = MlflowClient(tracking_uri=tracking.uri, registry_uri=tracking.uri)
        copy = Copy(f"{client.tracking_uri} {uri}", _version(uri, client), _name(uri))

    def make(folder: Path) -> None:
        with _client_errors(uri):
            inside = folder / "artifacts"
            inside.mkdir()
            got = artifacts.download_artifacts(
                artifact_uri=uri, dst_path=str(inside), tracking_uri=tracking.uri, registry_uri=tracking.uri
            )
        _check_size(uri, Path(got), tracking.max_bytes)
        Path(got).rename(folder / copy.name)
        shutil.rmtree(inside, ignore_errors=True)

    return keep(cache, copy, make)


def _version(uri: str, client: Any) -> str:
    """What changes when the model does: of a run that has ended, nothing; one that goes on is copied each time."""
    if uri.startswith(_RUNS):
        info = client.get_run(uri.removeprefix(_RUNS).partition("/")[0]).info
        return f"{info.end_time}" if info.end_time else f"running, seen at {time.time_ns()}"
    if uri.startswith(f"{_MODELS}{_LOGGED}") and "/" not in uri.removeprefix(_MODELS):
        return uri
    name, version = _named(uri)
    if version.startswith("@"):
        found = client.get_model_version_by_alias(name, version[1:])
    elif version == "latest":
        versions = client.search_model_versions(f"name='{name}'")
        if not versions:
            raise PredictorUnavailable(f"model {uri} cannot be fetched: {name} has no version")
        found = max(versions, key=lambda one: int(one.version))
    else:
        found = client.get_model_version(name, version)
    return f"{found.version} {found.creation_timestamp}"


def _named(uri: str) -> tuple[str, str]:
    """A registered model's name and its version: a number, `latest`, or `@` and an alias."""
    name, at, alias = uri.removeprefix(_MODELS).partition("@")
    if at and alias:
        return name, f"@{alias}"
    name, _, version = name.partition("/")
    if version == "latest" or version.isdecimal():
        return name, version
    raise PredictorUnavailable(
        f"{uri} names no version: write models:/{name or 'NAME'}/3, models:/{name or 'NAME'}@alias or …/latest"
    )


def _name(uri: str) -> str:
    """Of the file or folder: as in the run, or the model's own."""
    if uri.startswith(_RUNS):
        return uri.rpartition("/")[2]
    return uri.removeprefix(_MODELS).partition("/")[0].partition("@")[0]


def _check_names(uri: str, *names: str) -> None:
    if any(name in ("", ".", "..") or any(mark in name for mark in "/\\\0*?[") for name in names):
        raise PredictorUnavailable(f"{uri} is no address of a model: write runs:/RUN/path or models:/NAME/VERSION")


def _check_size(uri: str, got: Path, max_bytes: int) -> None:
    size = sum(path.stat().st_size for path in _files(got))
    if size > max_bytes:
        raise PredictorUnavailable(
            f"model {uri} has {size:,} bytes, the limit is {max_bytes:,}: raise models.max_bytes"
        )


def _files(path: Path) -> Iterator[Path]:
    yield from (one for one in path.rglob("*") if one.is_file()) if path.is_dir() else (path,)


@contextmanager
def _client_errors(uri: str) -> Iterator[None]:
    """MLflow says what is missing, and in the same words of a server that cannot be reached."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        kind = ServiceUnavailable if error.error_code in _UNREACHED else PredictorUnavailable
        raise kind(
            f"model {uri} cannot be fetched: {error}; look at its spelling, and at models.tracking_uri"
        ) from error
