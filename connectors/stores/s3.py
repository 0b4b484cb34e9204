"""An object store that speaks S3."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from connectors.s3 import S3Access, S3Error, S3Fault, read_body, s3_client, s3_errors
from connectors.s3_parts import put_in_parts
from connectors.stores.keys import checked_key, checked_prefix
from connectors.uris import S3Place
from stream_infer.errors import ServiceUnavailable
from stream_infer.ports import StoredObject

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import GetObjectRequestTypeDef

_ADVICE = {
    S3Fault.NO_BUCKET: "create the bucket, or set `store` to another one",
    S3Fault.SETUP: "look at AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_PROFILE, AWS_REGION and AWS_ENDPOINT_URL",
    S3Fault.FORBIDDEN: "they need s3:GetObject, s3:PutObject, s3:DeleteObject and s3:ListBucket there",
    S3Fault.PASSING: "look at the server behind AWS_ENDPOINT_URL and the network, and try again",
}


class S3Store:
    """Objects below `prefix` of `bucket`. Safe to share between threads; boto3 repeats what may pass.

    At worst a call takes attempts x (connect + read timeout) of `access`, and the waits between them. Raises
    ConfigError when boto3 finds no way to set itself up.
    """

    def __init__(self, bucket: str, prefix: str = "", access: S3Access | None = None) -> None:
        self._bucket = bucket
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        self._access = access or S3Access()
        self._client: S3Client = s3_client(self._access)
        self._signer: S3Client | None = None
        self._making_signer = threading.Lock()

    def uri(self, key: str) -> str:
        return f"s3://{self._bucket}/{self._name(key)}"

    def put(self, key: str, data: bytes, content_type: str = "application/octet-stream") -> None:
        with self._translated("write", key):
            self._client.put_object(Bucket=self._bucket, Key=self._name(key), Body=data, ContentType=content_type)

    def put_chunks(self, key: str, chunks: Iterable[bytes], content_type: str = "application/octet-stream") -> None:
        """In one request where it is small, else in parts, of which the object is made at the end.

        The parts of a process that was killed stay until the bucket's rule for incomplete uploads removes them.
        """
        with self._translated("write", key):
            put_in_parts(self._client, S3Place(self._bucket, self._name(key)), chunks, content_type)

    def get(self, key: str) -> bytes:
        """Raises KeyError, ServiceUnavailable or ValueError."""
        return self._read(key, {"Bucket": self._bucket, "Key": self._name(key)})

    def piece(self, key: str, start: int, size: int) -> bytes:
        """Raises as `get`."""
        asked = f"bytes={start}-{start + size - 1}"
        return self._read(key, {"Bucket": self._bucket, "Key": self._name(key), "Range": asked})

    def _read(self, key: str, request: GetObjectRequestTypeDef) -> bytes:
        with self._translated("read", key):
            try:
                return read_body(self._client, request)
            except S3Error as error:
                if error.fault is S3Fault.GONE:
                    raise KeyError(key) from None
                raise

    def exists(self, key: str) -> bool:
        """Asks by listing: a HEAD answers 404 for a missing bucket, too."""
        name = self._name(key)
        with self._translated("read", key):
            found = self._client.list_objects_v2(Bucket=self._bucket, Prefix=name, MaxKeys=1).get("Contents", [])
        return any(entry["Key"] == name for entry in found)

    def list(self, prefix: str) -> Iterator[StoredObject]:
        """Holds one page of 1,000 objects."""
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self._bucket, Prefix=self._prefix + checked_prefix(prefix)
        )
        with self._translated("list", prefix):
            for page in pages:
                for entry in page.get("Contents", []):
                    if not entry["Key"].endswith("/"):  # a console's or gateway's mark of a directory
                        yield StoredObject(entry["Key"][len(self._prefix) :], entry["Size"])

    def link(self, key: str, seconds: int) -> str:
        """Signed with our credentials (Signature 4; a link signed the old way is refused by most servers by now)."""
        with self._translated("make links of", key):
            params = {"Bucket": self._bucket, "Key": self._name(key)}
            return self._signing().generate_presigned_url("get_object", Params=params, ExpiresIn=seconds)

    def delete(self, key: str) -> None:
        with self._translated("delete in", key):
            self._client.delete_object(Bucket=self._bucket, Key=self._name(key))

    def close(self) -> None:
        """Closes idle connections. The store must not be used afterwards."""
        self._client.close()

    def _signing(self) -> S3Client:
        with self._making_signer:
            if self._signer is None:
                self._signer = s3_client(self._access, signature="s3v4")
            return self._signer

    def _name(self, key: str) -> str:
        return self._prefix + checked_key(key)

    @contextmanager
    def _translated(self, doing: str, key: str) -> Iterator[None]:
        try:
            with s3_errors():
                yield
        except S3Error as error:
            if error.fault is S3Fault.GONE and doing == "delete in":
                return
            where = f"s3://{self._bucket}/{self._prefix}{key} ({self._client.meta.endpoint_url})"
            advice = _ADVICE.get(error.fault, "look at `store` in the configuration")
            raise ServiceUnavailable(f"cannot {doing} the store at {where}: {error}; {advice}") from error
