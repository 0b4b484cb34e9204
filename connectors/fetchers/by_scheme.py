"""The fetcher that a worker is given: it hands each reference to the one that knows its scheme."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from connectors.fetchers.file import FileFetcher
from connectors.fetchers.http import HttpFetcher
from connectors.fetchers.s3 import S3Fetcher
from connectors.policy import FetchPolicy
from connectors.uris import redacted, scheme_of
from stream_infer.errors import RefusedItem
from stream_infer.ports import Fetcher, Reference
from stream_infer.records import Payload


class FetcherByScheme:
    """`fetchers` maps a scheme in lower case to who fetches it; they are closed with this one."""

    def __init__(self, fetchers: Mapping[str, Fetcher]) -> None:
        self._fetchers = dict(fetchers)

    async def fetch(self, reference: Reference) -> Payload:
        """Raises RefusedItem or RetryableError."""
        fetcher = self._fetchers.get(scheme_of(reference.uri))
        if fetcher is None:
            known = ", ".join(f"{scheme}://" for scheme in self._fetchers)
            raise RefusedItem(f"{redacted(reference.uri)} cannot be fetched: references start with one of {known}")
        return await fetcher.fetch(reference)

    async def close(self) -> None:
        for fetcher in {id(fetcher): fetcher for fetcher in self._fetchers.values()}.values():
            await fetcher.close()


def open_fetcher(
    policy: FetchPolicy, s3_endpoint_url: str | None = None, others: Mapping[str, Fetcher] = MappingProxyType({})
) -> FetcherByScheme:
    """Fetches s3://, file://, http:// and https:// within `policy`, and `others`. Connects to nothing yet."""
    http = HttpFetcher(policy)
    s3, file = S3Fetcher(policy, s3_endpoint_url), FileFetcher(policy)
    return FetcherByScheme({**others, "s3": s3, "file": file, "https": http, "http": http})
