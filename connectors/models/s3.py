"""A model in S3: an object, or all objects below a prefix as a folder."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from connectors.models.cache import Copy, keep
from connectors.s3 import S3Access, S3Error, S3Fault, read_body, s3_client, s3_errors
from connectors.uris import S3Place
from stream_infer.errors import PredictorUnavailable, ServiceUnavailable

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

MOST_OBJECTS = 10_000
CHUNK_BYTES = 16 * 1024 * 1024
_MAY_PASS = frozenset({S3Fault.PASSING, S3Fault.SETUP})
_ADVICE = {
    S3Fault.GONE: "look at its spelling; a prefix ends at a '/'",
    S3Fault.NO_BUCKET: "look at its spelling, and at AWS_ENDPOINT_URL",
    S3Fault.SETUP: "look at AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_PROFILE, AWS_REGION and AWS_ENDPOINT_URL",
    S3Fault.FORBIDDEN: "they need s3:GetObject and s3:ListBucket there",
    S3Fault.PASSING: "look at the server behind AWS_ENDPOINT_URL and the network, and try again",
    S3Fault.REFUSED: "try again, or name another one",
}


@dataclass(frozen=True, slots=True)
class _Object:
    """One object of a model. `path` is where it goes: relative, '/' between its names."""

    key: str
    path: str
    etag: str
    size: int


def fetch_from_s3(place: S3Place, cache: Path, access: S3Access, max_bytes: int) -> Path:
    """The object's copy, or the folder's, by the ETags that S3 has now.

    Raises PredictorUnavailable, or ServiceUnavailable where S3 cannot be asked.
    """
    with closing(s3_client(access)) as client, _translated(place):
        objects = _objects(client, place)
        _check_size(place, objects, max_bytes)
        name = place.key.rstrip("/").rpartition("/")[2] or place.bucket
        version = "\n".join(f"{one.path}\t{one.etag}\t{one.size}" for one in objects)
        endpoint = client.meta.endpoint_url
        copy = Copy(f"{endpoint} {place.uri.rstrip('/')}", version, name)
        return keep(cache, copy, lambda folder: _download(client, place.bucket, objects, folder / name))


def _objects(client: S3Client, place: S3Place) -> list[_Object]:
    """The one object of that key, or else those below it."""
    if place.key and not place.key.endswith("/"):
        try:
            with s3_errors():
                head = client.head_object(Bucket=place.bucket, Key=place.key)
            return [_Object(place.key, "", head["ETag"], head["ContentLength"])]
        except S3Error as error:
            if error.fault is not S3Fault.GONE:
                raise
    below = f"{place.key.rstrip('/')}/" if place.key else ""
    objects: list[_Object] = []
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=place.bucket, Prefix=below)
    with s3_errors():
        for page in pages:
            for entry in page.get("Contents", []):
                if not entry["Key"].endswith("/"):  # a console's or gateway's mark of a directory
                    path = _checked(place, entry["Key"][len(below) :])
                    objects.append(_Object(entry["Key"], path, entry["ETag"], entry["Size"]))
            if len(objects) > MOST_OBJECTS:
                raise PredictorUnavailable(
                    f"{place.uri} has more than {MOST_OBJECTS:,} objects below it: name the model's own prefix"
                )
    if not objects:
        raise S3Error(S3Fault.GONE, "there is no such object, and none below it")
    return objects


def _checked(place: S3Place, path: str) -> str:
    """S3 takes any key; a file's path must not lead out of its folder."""
    if not {"", ".", ".."}.isdisjoint(path.split("/")) or "\0" in path:
        raise PredictorUnavailable(
            f"{place.uri} has an object {path!r} below it, which is no path of a file: rename it"
        )
    return path


def _check_size(place: S3Place, objects: Sequence[_Object], max_bytes: int) -> None:
    total = sum(one.size for one in objects)
    if total > max_bytes:
        raise PredictorUnavailable(
            f"model {place.uri} has {total:,} bytes, the limit is {max_bytes:,}: raise models.max_bytes"
        )


def _download(client: S3Client, bucket: str, objects: Sequence[_Object], target: Path) -> None:
    for one in objects:
        path = target / one.path if one.path else target
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as file:
            for start in range(0, one.size, CHUNK_BYTES):
                end = min(start + CHUNK_BYTES, one.size) - 1
                file.write(
                    read_body(
                        client,
                        {"Bucket": bucket, "Key": one.key, "Range": f"bytes={start}-{end}", "IfMatch": one.etag},
                    )
                )
            file.flush()
            os.fsync(file.fileno())


@contextmanager
def _translated(place: S3Place) -> Iterator[None]:
    try:
        yield
    except S3Error as error:
        kind = ServiceUnavailable if error.fault in _MAY_PASS else PredictorUnavailable
        raise kind(f"model {place.uri} cannot be fetched: {error}; {_ADVICE[error.fault]}") from error
