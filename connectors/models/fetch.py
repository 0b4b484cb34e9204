"""The address of a model, and the path that it comes to."""

from __future__ import annotations

from pathlib import Path

from connectors.models.mlflow import Tracking, fetch_from_mlflow
from connectors.models.s3 import fetch_from_s3
from connectors.s3 import S3Access
from connectors.uris import RefusedPlace, path_of, redacted, s3_place_of, scheme_of
from stream_infer.errors import PredictorUnavailable

_GIB = 1024**3
_SCHEMES = frozenset({"s3", "file", "runs", "models"})


def is_model_uri(text: str) -> bool:
    """Whether `fetch_model` is to make a path of it; what else a predictor's settings may say stays as it is."""
    return scheme_of(text) in _SCHEMES


def fetch_model(
    uri: str,
    cache: Path,
    *,
    access: S3Access | None = None,
    max_bytes: int = 10 * _GIB,
    tracking_uri: str | None = None,
) -> Path:
    """The file or folder on this machine that `uri` names: a path, file:///path, s3://bucket/object or …/prefix, and of
    MLflow, whose store is at `tracking_uri`, runs:/RUN/path or models:/NAME/VERSION.

    What lies elsewhere is copied below `cache`, and found there as long as it stays what it is; `max_bytes` bounds one
    copy. Blocks for as long as that takes. Raises PredictorUnavailable, or ServiceUnavailable where its place cannot be
    reached.
    """
    try:
        match scheme_of(uri):
            case "s3":
                return fetch_from_s3(s3_place_of(uri), cache, access or S3Access(), max_bytes)
            case "runs" | "models":
                return fetch_from_mlflow(uri, cache, Tracking(tracking_uri, max_bytes))
            case "file":
                return _present(path_of(uri))
            case "":
                return _present(Path(uri).expanduser().absolute())
    except RefusedPlace as error:
        raise PredictorUnavailable(f"model: {error}") from None
    raise PredictorUnavailable(
        f"{redacted(uri)} is no address of a model: "
        "give a path, file:///path, s3://bucket/key, runs:/RUN/path or models:/NAME/VERSION"
    )


def _present(path: Path) -> Path:
    if not path.exists():
        raise PredictorUnavailable(f"there is no model at {path}: look at its spelling")
    return path
