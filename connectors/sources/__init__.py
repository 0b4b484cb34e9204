"""Sources expand a job into its items, lazily, resumably and in constant memory."""

from connectors.sources.directory import DirectorySource
from connectors.sources.files import LocalFile, S3File, SourceFile, StoredFile, file_at
from connectors.sources.inline import InlineSource
from connectors.sources.jsonl import JsonlSource

__all__ = [
    "DirectorySource",
    "InlineSource",
    "JsonlSource",
    "LocalFile",
    "S3File",
    "SourceFile",
    "StoredFile",
    "file_at",
]
