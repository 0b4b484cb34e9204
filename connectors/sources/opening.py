"""Opening the many places of one source."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Self

from connectors.policy import FetchPolicy
from connectors.s3 import S3Access, s3_client
from connectors.sources.files import S3File, SourceFile, file_at
from stream_infer.errors import ConfigError, ServiceUnavailable
from stream_infer.ports import Store

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


class Opener:
    """For one reading of a source: what lies in S3 is opened by one client, made when it is first needed.

    One for each of 100,000 objects would cost 0.1 s of CPU an object.
    """

    def __init__(self, policy: FetchPolicy, access: S3Access | None = None, store: Store | None = None) -> None:
        self.policy = policy
        self._access = access or S3Access()
        self._store = store
        self._client: S3Client | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._client is not None:
            self._client.close()

    @property
    def s3(self) -> S3Client:
        """Raises ServiceUnavailable."""
        if self._client is None:
            try:
                self._client = s3_client(self._access)
            except ConfigError as error:  # this machine's, not the job's
                raise ServiceUnavailable(str(error)) from error
        return self._client

    def file(self, place: str) -> SourceFile:
        """See `file_at`. Raises SourceError or ServiceUnavailable."""
        file = file_at(place, self.policy, self._access, store=self._store)
        if isinstance(file, S3File):
            return S3File(file.place, file.policy, file.access, self.s3)
        return file
