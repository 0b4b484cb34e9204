"""An object of S3 as a seekable file, whatever its size and however slowly it is read."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, NamedTuple

from connectors.s3 import S3Error, read_body, s3_errors
from connectors.s3_clients import LentClient
from connectors.uris import S3Place

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer
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

    def __init__(self, lent: LentClient, place: S3Place) -> None:
        self._lent = lent
        self._client = client = lent.client
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
        self._lent.release()
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


def open_object(lent: LentClient, place: S3Place) -> OpenObject:
    """The object, open for reading; holds WINDOW_BYTES. This and every read raise S3Error.

    It takes the client over: closing it, or failing to open it, releases that.
    """
    try:
        opened = _Object(lent, place)
        return OpenObject(io.BufferedReader(opened, WINDOW_BYTES), opened.etag)
    except S3Error:
        lent.release()
        raise
