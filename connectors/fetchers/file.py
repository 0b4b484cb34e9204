"""file:// references: files below the allowed directories."""

from __future__ import annotations

import asyncio
import errno
import os
from concurrent.futures import ThreadPoolExecutor

from connectors.content_types import content_type_of
from connectors.local_files import open_allowed
from connectors.policy import FetchPolicy
from connectors.uris import RefusedPlace, path_of, redacted
from stream_infer.errors import ItemError, RefusedItem, RetryableError
from stream_infer.ports import Reference
from stream_infer.records import Payload

_GONE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG})
_FORBIDDEN = frozenset({errno.EACCES, errno.EPERM})
_SWAPPED = frozenset({errno.ELOOP, errno.EISDIR, errno.ENXIO, errno.ENODEV})


class FileFetcher:
    """Reads files in threads of its own, since a network file system may hang."""

    def __init__(self, policy: FetchPolicy) -> None:
        self._policy = policy
        self._threads = ThreadPoolExecutor(policy.concurrency, thread_name_prefix="fetch-file")
        self._free = asyncio.Semaphore(policy.concurrency)

    async def fetch(self, reference: Reference) -> Payload:
        """Raises RefusedItem or RetryableError."""
        loop = asyncio.get_running_loop()
        try:
            async with self._free, asyncio.timeout(self._policy.timeout_s):
                data = await loop.run_in_executor(self._threads, self._read, reference.uri)
        except TimeoutError:
            raise RetryableError(
                f"{redacted(reference.uri)} could not be read within {self._policy.timeout_s:g} s "
                "(fetch.timeout): look at the file system it lies on"
            ) from None
        return Payload(data, content_type_of(path_of(reference.uri).name, given=reference.content_type))

    async def close(self) -> None:
        """Does not wait for a read that hangs."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _read(self, uri: str) -> bytes:
        limit = self._policy.max_bytes
        try:
            with open_allowed(path_of(uri), self._policy) as file:
                size = os.fstat(file.fileno()).st_size
                data = file.read(size + 1) if size <= limit else b""
                if len(data) > size:
                    # It grows while it is read: what was read decides, not what was announced.
                    data += file.read(limit + 1 - len(data))
        except RefusedPlace as error:
            raise RefusedItem(str(error)) from None
        except OSError as error:
            raise _translated(error, uri) from error
        if max(size, len(data)) > limit:
            raise RefusedItem(
                f"{redacted(uri)} has {max(size, len(data))} bytes or more, the limit is {limit}: "
                "raise fetch.max_bytes or make the file smaller"
            )
        return data


def _translated(error: OSError, uri: str) -> ItemError | RetryableError:
    if error.errno in _GONE:
        return RefusedItem(f"{redacted(uri)} is not there: the file was moved, removed or never written")
    if error.errno in _FORBIDDEN:
        return RefusedItem(f"{redacted(uri)} may not be read by this user: change the file's owner or mode")
    if error.errno in _SWAPPED:
        return RefusedItem(f"{redacted(uri)} is not a regular file, or was replaced while being opened")
    return RetryableError(f"{redacted(uri)} could not be read: {error.strerror}")
