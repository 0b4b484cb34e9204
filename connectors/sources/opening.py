"""Opening the many places of one source."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Self

from connectors.policy import FetchPolicy
from connectors.s3_clients import LentClient, S3Clients
from connectors.sources.files import S3File, SourceFile, file_at
from stream_infer.errors import ConfigError, ServiceUnavailable
from stream_infer.ports import Store

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


class Opener:
    """For one reading of a source. Once it has needed S3 it keeps a client until its end, for all that it opens."""

    def __init__(self, policy: FetchPolicy, clients: S3Clients | None = None, store: Store | None = None) -> None:
        self.policy = policy
        self._clients = clients or S3Clients()
        self._store = store
        self._lent: LentClient | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._lent is not None:
            self._lent.release()

    def s3(self) -> S3Client:
        """For the next call: a reading takes hours, and credentials may not. Raises ServiceUnavailable."""
        before = self._lent
        if before is None or not before.is_fresh:
            try:
                self._lent = self._clients.lend()
            except ConfigError as error:  # this machine's, not the job's
                raise ServiceUnavailable(str(error)) from error
            if before is not None:
                before.release()
            return self._lent.client
        return before.client

    def file(self, place: str) -> SourceFile:
        """See `file_at`. Raises SourceError or ServiceUnavailable."""
        file = file_at(place, self.policy, self._clients, store=self._store)
        if isinstance(file, S3File):
            self.s3()  # kept, so that opening the file does not make one of its own
        return file
