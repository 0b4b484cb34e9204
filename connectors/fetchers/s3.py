"""s3:// references: objects below the allowed prefixes."""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING
from urllib.request import getproxies

from connectors.content_types import content_type_of
from connectors.fetchers.signed import Body, NoBody, SignedReads
from connectors.policy import FetchPolicy
from connectors.s3 import S3Access, S3Error, S3Fault, s3_client, s3_errors
from connectors.uris import RefusedPlace, S3Place, redacted, s3_place_of
from stream_infer.errors import ConfigError, ItemError, RefusedItem, RetryableError
from stream_infer.ports import Reference
from stream_infer.records import Payload

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_CHUNK_BYTES = 1024 * 1024
_SIGNED_S = 300
# botocore exchanges credentials from 15 minutes before their end on.
_RENEWED_EVERY_S = 60.0
_BY_BOTO_S = 300.0
_PASSES = frozenset({S3Fault.PASSING, S3Fault.SETUP})


class S3Fetcher:
    """Reads objects by signed URLs, and by boto3 in threads what those do not bring: its errors are the ones told.

    A bucket that only boto3 could read is left to it for five minutes, and all are where the environment names a proxy.
    Repeating is left to the retry tiers, but for one quick try. Credentials that S3 does not accept are nobody's fault
    among the items: they raise RetryableError.
    """

    def __init__(
        self, policy: FetchPolicy, endpoint_url: str | None = None, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._policy = policy
        self._clock = clock
        self._renewed_at = -math.inf
        self._access = S3Access(
            endpoint_url=endpoint_url,
            connect_timeout_s=min(5.0, policy.timeout_s),
            read_timeout_s=policy.timeout_s,
            attempts=2,
            connections=policy.concurrency,
        )
        self._clients: dict[str | None, S3Client] = {}
        self._making = threading.Lock()
        self._signed = SignedReads(policy.concurrency, self._access.connect_timeout_s)
        self._signs = not getproxies().keys() & {"http", "https", "all"}
        self._by_boto_until: dict[str, float] = {}
        # Reads that hang hold the threads that read; those who sign must not wait for them.
        self._signers = ThreadPoolExecutor(1, thread_name_prefix="sign-s3")
        self._threads = ThreadPoolExecutor(policy.concurrency, thread_name_prefix="fetch-s3")
        self._free = asyncio.Semaphore(policy.concurrency)

    async def fetch(self, reference: Reference) -> Payload:
        """Raises RefusedItem or RetryableError."""
        try:
            place = s3_place_of(reference.uri)
            self._policy.check_s3(place)
        except RefusedPlace as error:
            raise RefusedItem(str(error)) from None
        try:
            async with self._free, asyncio.timeout(self._policy.timeout_s):
                body = await self._read(place)
        except TimeoutError:
            raise RetryableError(
                f"{redacted(place.uri)} did not arrive within {self._policy.timeout_s:g} s (fetch.timeout)"
            ) from None
        except S3Error as error:
            raise _translated(error, place) from error
        if body.size > self._policy.max_bytes:
            raise RefusedItem(
                f"{redacted(place.uri)} has {body.size} bytes, the limit is {self._policy.max_bytes}: "
                "raise fetch.max_bytes or make the object smaller"
            )
        return Payload(body.data, content_type_of(place.key, given=reference.content_type, told=body.content_type))

    async def close(self) -> None:
        """Does not wait for a read that hangs."""
        await self._signed.close()
        for threads in (self._signers, self._threads):
            threads.shutdown(wait=False, cancel_futures=True)
        for client in self._clients.values():
            client.close()

    async def _read(self, place: S3Place) -> Body:
        """Raises S3Error."""
        loop = asyncio.get_running_loop()
        found = None
        if self._signs and self._clock() >= self._by_boto_until.get(place.bucket, -math.inf):
            # Now and then in a thread: the client is made there, and credentials that end soon are exchanged.
            if self._clock() >= self._renewed_at + _RENEWED_EVERY_S:
                await loop.run_in_executor(self._signers, self._url, place)
                self._renewed_at = self._clock()
            found = await self._signed.read(self._url(place), self._policy.max_bytes)
            if isinstance(found, Body):
                return found
        body = await loop.run_in_executor(self._threads, self._read_by_boto, place)
        if isinstance(found, NoBody) and found.may_last:
            self._by_boto_until[place.bucket] = self._clock() + _BY_BOTO_S
        return body

    def _connected(self, signature: str | None = None) -> S3Client:
        """Made when first needed: most deployments fetch nothing from S3, and boto3's setup takes its time."""
        with self._making:
            if signature not in self._clients:
                try:
                    self._clients[signature] = s3_client(self._access, signature)
                except ConfigError as error:
                    raise S3Error(S3Fault.SETUP, str(error)) from error
            return self._clients[signature]

    def _url(self, place: S3Place) -> str:
        # boto3's own choice for signed URLs is the older signature, which most servers refuse; for requests it knows
        # what a bucket wants, S3 Express or an access point of several regions.
        client = self._connected("s3v4")
        params = {"Bucket": place.bucket, "Key": place.key}
        with s3_errors():
            return client.generate_presigned_url("get_object", Params=params, ExpiresIn=_SIGNED_S)

    def _read_by_boto(self, place: S3Place) -> Body:
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
        return Body(b"".join(chunks), max(size, read), answer.get("ContentType", ""))


def _translated(error: S3Error, place: S3Place) -> ItemError | RetryableError:
    message = f"{redacted(place.uri)} could not be fetched: {error}"
    if error.fault in _PASSES:
        return RetryableError(message, retry_after=error.retry_after)
    return RefusedItem(message)
