"""From the spec of a job's source to the source."""

from __future__ import annotations

from pathlib import Path

from connectors.policy import FetchPolicy
from connectors.s3_clients import S3Clients
from connectors.sources import (
    AddressItems,
    CsvSource,
    DirectorySource,
    InlineSource,
    JsonlSource,
    LineItems,
    ManifestListing,
    ObjectsSource,
    ParquetSource,
    ReferenceItems,
    RequestsSource,
    S3Listing,
    TarSource,
    UnpackedItems,
    file_at,
)
from connectors.sources.objects import Content
from connectors.sources.places import Places
from connectors.sources.plugin import open_plugin
from stream_infer.errors import SourceError
from stream_infer.jobs.sources import Manifest, PlacedSources, S3Prefix
from stream_infer.jobs.spec import Job
from stream_infer.ports import Source, Store
from stream_infer.records import JSON


def source_at(job: Job, policy: FetchPolicy, store: Store, s3: S3Clients) -> Source:
    """The job's source; opens nothing yet. `s3` is for all sources of the process. Raises SourceError."""
    if job.submission is not None:
        return InlineSource(store, job.submission)
    if job.plugin is not None:
        return open_plugin(job.plugin.name, job.plugin.config)
    if job.directory is not None:
        chosen = job.directory
        return DirectorySource(Path(chosen.path), policy, includes=chosen.includes, excludes=chosen.excludes)
    source = _file_source(job, policy, store, s3) or _objects_source(job, policy, store, s3)
    if source is None:
        raise SourceError(f"job {job.job_id} names no source that this version knows")
    return source


def _file_source(job: PlacedSources, policy: FetchPolicy, store: Store, s3: S3Clients) -> Source | None:
    """Of one file with many items."""
    limit = policy.max_bytes
    if job.jsonl is not None:
        return JsonlSource(file_at(job.jsonl.uri, policy, s3, store=store), max_line_bytes=limit)
    if job.requests is not None:
        return RequestsSource(file_at(job.requests.uri, policy, s3, store=store), max_line_bytes=limit)
    if job.csv is not None:
        table, file = job.csv, file_at(job.csv.uri, policy, s3, store=store)
        return CsvSource(
            file, delimiter=table.delimiter, header=table.header, numbers=table.numbers, max_row_bytes=limit
        )
    if job.parquet is not None:
        file = file_at(job.parquet.uri, policy, s3, store=store)
        return ParquetSource(file, columns=job.parquet.columns, max_row_bytes=limit)
    if job.tar is not None:
        file = file_at(job.tar.uri, policy, s3, store=store)
        return TarSource(file, includes=job.tar.includes, excludes=job.tar.excludes, max_member_bytes=limit)
    return None


def _objects_source(job: PlacedSources, policy: FetchPolicy, store: Store, s3: S3Clients) -> Source | None:
    """Of many objects."""
    places: Places
    content: Content
    if (chosen := job.file_path_lister or job.delimited_files) is not None:
        places = S3Listing(chosen.s3_paths, includes=chosen.includes, excludes=chosen.excludes)
        content = AddressItems() if chosen is job.file_path_lister else LineItems(JSON, max_line_bytes=policy.max_bytes)
    elif job.s3_prefix is not None:
        below = job.s3_prefix
        places = S3Listing([below.uri], includes=below.includes, excludes=below.excludes)
        content = _content(below, policy.max_bytes)
    elif job.manifest is not None:
        places, content = ManifestListing(job.manifest.uri), _content(job.manifest, policy.max_bytes)
    else:
        return None
    return ObjectsSource(places, content, policy, s3, store=store)


def _content(chosen: S3Prefix | Manifest, max_bytes: int) -> Content:
    packed = chosen.compression == "gzip"
    if chosen.split == "line":
        return LineItems(chosen.content_type, unpacks=packed, max_line_bytes=max_bytes)
    if packed:
        return UnpackedItems(chosen.content_type, max_bytes)
    return ReferenceItems(chosen.content_type)
