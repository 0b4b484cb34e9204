"""Fetchers bring the payload that an item only refers to."""

from connectors.fetchers.by_scheme import FetcherByScheme, open_fetcher

__all__ = ["FetcherByScheme", "open_fetcher"]
