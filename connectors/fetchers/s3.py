"""s3:// references: objects below the allowed prefixes."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from connectors.content_types import content_type_of
from connectors.policy import FetchPolicy
from connectors.s3 import S3Access, S3Error, S3Fault, s3_client, s3_errors
from connectors.uris import RefusedPlace, S3Place, redacted, s3_place_of
from stream_infer.errors import ConfigError, ItemError, RefusedItem, RetryableError
from stream_infer.ports import Reference
from stream_infer.records import Payload

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_CHUNK_BYTES = 1024 * 1024
_PASSES = frozenset({S3Fault.PASSING, S3Fault.SETUP})


class S3Fetcher:
    """Reads objects with boto3 in threads of its own. Repeating is left to the retry tiers, but for one quick try.

    Credentials that S3 does not accept are nobody's fault among the items: they raise RetryableError.
    """

    def __init__(self, policy: FetchPolicy, endpoint_url: str | None = None) -> None:
        self._policy = policy
        self._access = S3Access(
            endpoint_url=endpoint_url,
            connect_timeout_s=min(5.0, policy.timeout_s),
            read_timeout_s=policy.timeout_s,
            attempts=2,
            connections=policy.concurrency,
        )
        self._client: S3Client | None = None
        self._making = threading.Lock()
        self._threads = ThreadPoolExecutor(policy.concurrency, thread_name_prefix="fetch-s3")
        self._free = asyncio.Semaphore(policy.concurrency)

    async def fetch(self, reference: Reference) -> Payload:
        """Raises RefusedItem or RetryableError."""
        try:
            place = s3_place_of(reference.uri)
            self._policy.check_s3(place)
        except RefusedPlace as error:
            raise RefusedItem(str(error)) from None
        loop = asyncio.get_running_loop()
        try:
            async with self._free, asyncio.timeout(self._policy.timeout_s):
                data, told = await loop.run_in_executor(self._threads, self._read, place)
        except TimeoutError:
            raise RetryableError(
                f"{redacted(place.uri)} did not arrive within {self._policy.timeout_s:g} s (fetch.timeout)"
            ) from None
        except S3Error as error:
            raise _translated(error, place) from error
        return Payload(data, content_type_of(place.key, given=reference.content_type, told=told))

    async def close(self) -> None:
        """Does not wait for a read that hangs."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        if self._client is not None:
            self._client.close()

    def _connected(self) -> S3Client:
        """Made when first needed: most deployments fetch nothing from S3, and boto3's setup takes its time."""
        with self._making:
            if self._client is None:
                try:
                    self._client = s3_client(self._access)
                except ConfigError as error:
                    raise S3Error(S3Fault.SETUP, str(error)) from error
            return self._client

    def _read(self, place: S3Place) -> tuple[bytes, str]:
        limit = self._policy.max_bytes
        client = self._connected()
        with s3_errors():
            answer = client.get_object(Bucket=place.bucket, Key=place.key)
            with answer["Body"] as body:
                size = answer["ContentLength"]
                chunks: list[bytes] = []
                read = 0
                # Leaving the body unread closes its connection, which is cheaper than reading what is too much.
                while size <= limit and read <= limit and (chunk := body.read(_CHUNK_BYTES)):
                    chunks.append(chunk)
                    read += len(chunk)
        if max(size, read) > limit:
            raise RefusedItem(
                f"{redacted(place.uri)} has {max(size, read)} bytes, the limit is {limit}: "
                "raise fetch.max_bytes or make the object smaller"
            )
        return b"".join(chunks), answer.get("ContentType", "")


def _translated(error: S3Error, place: S3Place) -> ItemError | RetryableError:
    message = f"{redacted(place.uri)} could not be fetched: {error}"
    if error.fault in _PASSES:
        return RetryableError(message, retry_after=error.retry_after)
    return RefusedItem(message)
