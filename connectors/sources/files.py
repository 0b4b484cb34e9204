"""The file that a job's source reads, wherever it lies."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple, Protocol

from connectors.local_files import may_pass, open_allowed
from connectors.policy import FetchPolicy
from connectors.s3 import S3Error, S3Fault
from connectors.s3_clients import S3Clients
from connectors.s3_reader import open_object
from connectors.sources.uploaded import open_upload
from connectors.uris import RefusedPlace, S3Place, path_of, redacted, s3_place_of, scheme_of
from stream_infer.errors import ConfigError, ServiceUnavailable, SourceError
from stream_infer.ports import Store
from stream_infer.uploads import Upload, upload_of

_PASSES = frozenset({S3Fault.PASSING, S3Fault.SETUP})


class OpenFile(NamedTuple):
    """`version` is another one once the file was replaced; empty where nothing tells."""

    file: BinaryIO
    version: str = ""


class SourceFile(Protocol):
    """A file that can be opened again and again, also after a restart."""

    @property
    def uri(self) -> str: ...

    def open(self) -> OpenFile:
        """For reading and seeking. Raises SourceError (missing, forbidden) or ServiceUnavailable (may pass)."""
        ...


@dataclass(frozen=True, slots=True)
class LocalFile:
    """A file below the allowed directories."""

    path: Path
    policy: FetchPolicy

    @property
    def uri(self) -> str:
        return self.path.as_uri()

    def open(self) -> OpenFile:
        try:
            return OpenFile(open_allowed(self.path, self.policy))
        except RefusedPlace as error:
            raise SourceError(str(error)) from None
        except OSError as error:
            kind = ServiceUnavailable if may_pass(error) else SourceError
            raise kind(f"{self.path} cannot be read: {error.strerror}") from error


@dataclass(frozen=True, slots=True)
class S3File:
    """An object below the allowed prefixes, read in windows. Reading it on may raise S3Error: see `source_errors`."""

    place: S3Place
    policy: FetchPolicy
    clients: S3Clients

    @property
    def uri(self) -> str:
        return self.place.uri

    def open(self) -> OpenFile:
        with source_errors(self.uri):
            self.policy.check_s3(self.place)
            file, etag = open_object(self.clients.lend(), self.place)
            return OpenFile(file, etag.strip('"'))


@dataclass(frozen=True, slots=True)
class StoredFile:
    """An object of the store, which no policy restricts. It is read whole: meant for submissions, which are limited."""

    store: Store
    key: str

    @property
    def uri(self) -> str:
        return self.store.uri(self.key)

    def open(self) -> OpenFile:
        try:
            return OpenFile(io.BytesIO(self.store.get(self.key)))
        except KeyError:
            raise SourceError(f"{self.uri} is not there: it was removed; submit the job again") from None


@dataclass(frozen=True, slots=True)
class UploadedFile:
    """A file that a client has sent to the gateway, which no policy restricts: it is its own."""

    store: Store
    upload: Upload

    @property
    def uri(self) -> str:
        return self.upload.uri

    def open(self) -> OpenFile:
        try:
            return OpenFile(open_upload(self.store, self.upload))
        except KeyError:
            raise SourceError(
                f"{self.uri} is not there: it was removed, or never came to its end; send it again"
            ) from None


def file_at(
    place: str, policy: FetchPolicy, clients: S3Clients | None = None, *, store: Store | None = None
) -> SourceFile:
    """The file at file:///absolute/path, /absolute/path, s3://bucket/key, or uploaded into `store` (upload:…).

    Opens nothing yet. Raises SourceError.
    """
    try:
        match scheme_of(place):
            case "file":
                return LocalFile(path_of(place), policy)
            case "s3":
                return S3File(s3_place_of(place), policy, clients or S3Clients())
            case "upload" if store is not None and (upload := upload_of(place)) is not None:
                return UploadedFile(store, upload)
            case _ if place.startswith("/") and "\0" not in place:
                return LocalFile(Path(place), policy)
    except RefusedPlace as error:
        raise SourceError(str(error)) from None
    raise SourceError(f"{redacted(place)} is no source: give /absolute/path, file:///absolute/path or s3://bucket/key")


@contextmanager
def source_errors(uri: str) -> Iterator[None]:
    """Raises what goes wrong between here and a file as SourceError, or as ServiceUnavailable where it may pass."""
    try:
        yield
    except RefusedPlace as error:
        raise SourceError(str(error)) from None
    except ConfigError as error:  # this machine's, not the job's
        raise ServiceUnavailable(str(error)) from error
    except S3Error as error:
        kind = ServiceUnavailable if error.fault in _PASSES else SourceError
        raise kind(f"{redacted(uri)} cannot be read: {error}") from error
