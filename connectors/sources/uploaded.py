"""An uploaded file, put together again from its parts while it is read."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, BinaryIO, cast

from stream_infer.errors import SourceError
from stream_infer.ports import Store
from stream_infer.uploads import Upload, UploadNote

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


class _Parts(io.RawIOBase):
    """Holds one part. Reading raises SourceError where a part is gone, or ServiceUnavailable."""

    def __init__(self, store: Store, upload: Upload, note: UploadNote) -> None:
        self._store = store
        self._upload = upload
        self._note = note
        self._position = 0
        self._number = -1
        self._part = b""

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._note.bytes}[whence]
        self._position = max(0, base + offset)
        return self._position

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer).cast("B")
        taken = 0
        # A whole answer, as far as there is one: readers of Parquet take a short one for a broken file.
        while taken < len(view) and self._position < self._note.bytes:
            number, start = divmod(self._position, self._note.part_bytes)
            if number != self._number:
                self._part, self._number = self._read(number), number
            data = self._part[start : start + len(view) - taken]
            view[taken : taken + len(data)] = data
            taken += len(data)
            self._position += len(data)
        return taken

    def _read(self, number: int) -> bytes:
        size = min(self._note.part_bytes, self._note.bytes - number * self._note.part_bytes)
        try:
            data = self._store.get(self._upload.part(number))
        except KeyError:
            data = b""
        if len(data) != size:
            raise SourceError(f"{self._upload.uri} is not there as a whole any more: send it again")
        return data


def open_upload(store: Store, upload: Upload) -> BinaryIO:
    """For reading and seeking. Raises KeyError where it is not there as a whole, or ServiceUnavailable."""
    try:
        note = UploadNote.model_validate_json(store.get(upload.note))
    except ValueError:
        raise KeyError(upload.note) from None
    return cast("BinaryIO", io.BufferedReader(_Parts(store, upload, note)))
