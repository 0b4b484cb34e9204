"""References into a plugin's store: the payloads that stream-infer itself has put there, and nothing else."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

from connectors.content_types import content_type_of
from connectors.policy import FetchPolicy
from connectors.uris import redacted
from stream_infer.errors import RefusedItem, RetryableError, ServiceUnavailable
from stream_infer.ports import Reference, Store
from stream_infer.records import Payload


class StoreFetcher:
    """Reads in threads of its own the objects of `store` whose keys begin with `prefix`."""

    def __init__(self, policy: FetchPolicy, store: Store, prefix: str) -> None:
        self._policy = policy
        self._store = store
        self._prefix = prefix
        self._below = store.uri(prefix)
        self._threads = ThreadPoolExecutor(policy.concurrency, thread_name_prefix="fetch-store")

    async def fetch(self, reference: Reference) -> Payload:
        """Raises RefusedItem or RetryableError."""
        uri = reference.uri
        rest = uri.removeprefix(self._below)
        if rest == uri or not {".", ".."}.isdisjoint(rest.split("/")):
            raise RefusedItem(f"{redacted(uri)} is no payload that stream-infer has put into its store")
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._policy.timeout_s):
                data = await loop.run_in_executor(self._threads, self._store.get, self._prefix + rest)
        except KeyError:
            raise RefusedItem(f"{redacted(uri)} is not there: it was removed from the store") from None
        except TimeoutError:
            raise RetryableError(
                f"{redacted(uri)} could not be read within {self._policy.timeout_s:g} s (fetch.timeout)"
            ) from None
        except ServiceUnavailable as error:
            raise RetryableError(str(error)) from error
        if len(data) > self._policy.max_bytes:
            raise RefusedItem(
                f"{redacted(uri)} has {len(data)} bytes, the limit is {self._policy.max_bytes}: raise fetch.max_bytes"
            )
        return Payload(data, content_type_of(rest, given=reference.content_type))

    async def close(self) -> None:
        """Does not wait for a read that hangs."""
        self._threads.shutdown(wait=False, cancel_futures=True)
