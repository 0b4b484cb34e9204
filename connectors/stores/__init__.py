"""Stores keep results, dead letters and submissions: a directory, or anything that speaks S3."""

from connectors.stores.directory import DirectoryStore
from connectors.stores.open import open_store
from connectors.stores.s3 import S3Store

__all__ = ["DirectoryStore", "S3Store", "open_store"]
