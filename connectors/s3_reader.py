"""An object of S3 as a seekable file, whatever its size and however slowly it is read."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, NamedTuple

from connectors.s3 import S3Error, read_body, s3_errors
from connectors.uris import S3Place

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import GetObjectRequestTypeDef

WINDOW_BYTES = 4 * 1024 * 1024


class OpenObject(NamedTuple):
    """An object open for reading, and the version of it that is read."""

    file: io.BufferedReader
    etag: str


class _Object(io.RawIOBase):
    """One ranged request a read: a source may be read over hours, no server keeps an idle response open that long.

    The first answer's ETag is asked for in all that follow, so that a replaced object is an error and no mixture.
    """

    def __init__(self, client: S3Client, place: S3Place, *, keeps_client: bool) -> None:
        self._client = client
        self._keeps_client = keeps_client
        with s3_errors():
            head = client.head_object(Bucket=place.bucket, Key=place.key)
        self._place = place
        self.etag = head["ETag"]
        self._size = head["ContentLength"]
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def close(self) -> None:
        if not self._keeps_client:
            self._client.close()
        super().close()

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = max(0, base + offset)
        return self._position

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer).cast("B")
        end = min(self._position + len(view), self._size)
        if end <= self._position:
            return 0
        request: GetObjectRequestTypeDef = {
            "Bucket": self._place.bucket,
            "Key": self._place.key,
            "Range": f"bytes={self._position}-{end - 1}",
            "IfMatch": self.etag,
        }
        data = read_body(self._client, request)
        view[: len(data)] = data
        self._position += len(data)
        return len(data)


def open_object(client: S3Client, place: S3Place, *, keeps_client: bool = False) -> OpenObject:
    """The object, open for reading; holds WINDOW_BYTES. This and every read raise S3Error.

    It takes `client` over: closing it, or failing to open it, closes the client, unless it `keeps_client`.
    """
    try:
        opened = _Object(client, place, keeps_client=keeps_client)
        return OpenObject(io.BufferedReader(opened, WINDOW_BYTES), opened.etag)
    except S3Error:
        if not keeps_client:
            client.close()
        raise
