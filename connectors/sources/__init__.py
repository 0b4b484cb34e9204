"""Sources expand a job into its items, lazily, resumably and in constant memory."""

from connectors.sources.csv_rows import CsvSource
from connectors.sources.directory import DirectorySource
from connectors.sources.files import LocalFile, S3File, SourceFile, StoredFile, UploadedFile, file_at
from connectors.sources.inline import InlineSource
from connectors.sources.jsonl import JsonlSource
from connectors.sources.manifest import ManifestListing
from connectors.sources.objects import AddressItems, LineItems, ObjectsSource, ReferenceItems, UnpackedItems
from connectors.sources.parquet_rows import ParquetSource
from connectors.sources.requests import RequestsSource
from connectors.sources.s3_listing import S3Listing
from connectors.sources.tar_members import TarSource

__all__ = [
    "AddressItems",
    "CsvSource",
    "DirectorySource",
    "InlineSource",
    "JsonlSource",
    "LineItems",
    "LocalFile",
    "ManifestListing",
    "ObjectsSource",
    "ParquetSource",
    "ReferenceItems",
    "RequestsSource",
    "S3File",
    "S3Listing",
    "SourceFile",
    "StoredFile",
    "TarSource",
    "UnpackedItems",
    "UploadedFile",
    "file_at",
]
