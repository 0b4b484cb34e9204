"""The one place that knows boto3's client and its errors."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING

import boto3.session
from botocore import exceptions as vendor
from botocore.config import Config

from connectors.retry_after import retry_after_s
from stream_infer.errors import ConfigError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import GetObjectRequestTypeDef


@dataclass(frozen=True, slots=True)
class S3Access:
    """How S3 is reached. Credentials and region come by boto3's own means, and so does an `endpoint_url` of None.

    `attempts` counts the first one; boto3's "standard" mode waits between them. The times hold for one attempt.
    """

    endpoint_url: str | None = None
    connect_timeout_s: float = 5.0
    read_timeout_s: float = 30.0
    attempts: int = 5
    connections: int = 32


class S3Fault(Enum):
    """Whose fault it is."""

    GONE = auto()
    NO_BUCKET = auto()
    FORBIDDEN = auto()
    SETUP = auto()
    REFUSED = auto()
    PASSING = auto()


class S3Error(Exception):
    """A call to S3 failed, in our words. The caller gives it its place in the error tree."""

    def __init__(self, fault: S3Fault, reason: str, retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.fault = fault
        self.retry_after = retry_after


def s3_client(access: S3Access, signature: str | None = None) -> S3Client:
    """A client, safe to share between threads. Takes about 0.1 s. `signature` None: boto3's own choice.

    Raises ConfigError.
    """
    config = Config(
        connect_timeout=access.connect_timeout_s,
        read_timeout=access.read_timeout_s,
        max_pool_connections=access.connections,
        retries={"mode": "standard", "total_max_attempts": access.attempts},
        signature_version=signature,
    )
    # A session of its own: the default one keeps the credentials that it found first.
    try:
        return boto3.session.Session().client("s3", endpoint_url=access.endpoint_url, config=config)
    except (ValueError, vendor.BotoCoreError) as error:
        raise ConfigError(f"S3 cannot be set up: {error}; look at AWS_ENDPOINT_URL, AWS_REGION, AWS_PROFILE") from error


@contextmanager
def s3_errors() -> Iterator[None]:
    """Raises boto3's errors as S3Error."""
    try:
        yield
    except vendor.ClientError as error:
        raise _answered(error) from error
    except vendor.BotoCoreError as error:
        raise _unanswered(error) from error


def read_body(client: S3Client, request: GetObjectRequestTypeDef) -> bytes:
    """The whole body. boto3 repeats a request that failed, this one whose body broke off. Raises S3Error."""
    for remaining in reversed(range(_BODY_TRIES)):
        with s3_errors():
            answer = client.get_object(**request)
            try:
                with answer["Body"] as body:
                    return body.read()
            except _UNREACHED:
                if not remaining:
                    raise
    raise AssertionError("the last try returns or raises")


_BODY_TRIES = 3
_SETUP = frozenset(
    {
        "AuthorizationHeaderMalformed",
        "ExpiredToken",
        "ExpiredTokenException",
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "InvalidToken",
        "NotSignedUp",
        "PermanentRedirect",
        "RequestExpired",
        "RequestTimeTooSkewed",
        "SignatureDoesNotMatch",
        "TokenRefreshRequired",
        "UnrecognizedClientException",
    }
)
_PASSING = frozenset(
    {
        "BandwidthLimitExceeded",
        "InternalError",
        "OperationAborted",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestThrottledException",
        "RequestTimeout",
        "ServiceUnavailable",
        "SlowDown",
        "Throttling",
        "ThrottlingException",
        "TooManyRequests",
        "TooManyRequestsException",
    }
)
_UNREACHED = (
    vendor.HTTPClientError,
    vendor.ConnectionError,
    vendor.IncompleteReadError,
    vendor.ChecksumError,
    vendor.FlexibleChecksumError,
)


def _answered(error: vendor.ClientError) -> S3Error:
    """S3 said no. A HEAD has no body, so that its status stands where the code should."""
    metadata = error.response.get("ResponseMetadata", {})
    status = int(metadata.get("HTTPStatusCode", 0))
    code = error.response.get("Error", {}).get("Code", "") or str(status)
    if code in _SETUP:
        return S3Error(S3Fault.SETUP, f"S3 does not accept the credentials, the region or the clock ({code})")
    if code in _PASSING or status >= 500 or status in (408, 429):
        wish = retry_after_s(metadata.get("HTTPHeaders", {}).get("retry-after"), time.time())
        return S3Error(S3Fault.PASSING, f"S3 is busy or ill ({code})", wish)
    if code == "NoSuchBucket":
        return S3Error(S3Fault.NO_BUCKET, "there is no such bucket")
    if code == "InvalidObjectState":
        return S3Error(S3Fault.REFUSED, "the object is archived and must be restored first")
    if code == "PreconditionFailed":
        return S3Error(S3Fault.REFUSED, "the object was replaced while it was being read")
    if status == 404:
        return S3Error(S3Fault.GONE, "there is no such object")
    if status in (401, 403):
        return S3Error(S3Fault.FORBIDDEN, f"these credentials may not do that ({code})")
    return S3Error(S3Fault.REFUSED, f"S3 refuses it ({code}: {error.response.get('Error', {}).get('Message', '')})")


def _unanswered(error: vendor.BotoCoreError) -> S3Error:
    """The call failed on our side or on the way."""
    if isinstance(error, _UNREACHED):
        return S3Error(S3Fault.PASSING, f"S3 cannot be reached ({error})")
    if isinstance(error, vendor.ParamValidationError):
        return S3Error(S3Fault.REFUSED, f"not a bucket or key that S3 can have ({error})")
    return S3Error(S3Fault.SETUP, f"S3 cannot be used as it is set up ({error})")
