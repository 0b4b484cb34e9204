import pytest
from botocore import exceptions as vendor

from connectors.s3 import S3Error, S3Fault, s3_errors


def translated(error):
    with pytest.raises(S3Error) as caught, s3_errors():
        raise error
    return caught.value


def answered(code, status, **headers):
    response = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status, "HTTPHeaders": headers}}
    return translated(vendor.ClientError(response, "GetObject"))


@pytest.mark.parametrize(
    ("code", "status", "fault"),
    [
        ("NoSuchKey", 404, S3Fault.GONE),
        ("404", 404, S3Fault.GONE),
        ("NoSuchBucket", 404, S3Fault.NO_BUCKET),
        ("AccessDenied", 403, S3Fault.FORBIDDEN),
        ("403", 403, S3Fault.FORBIDDEN),
        ("SignatureDoesNotMatch", 403, S3Fault.SETUP),
        ("InvalidAccessKeyId", 403, S3Fault.SETUP),
        ("ExpiredToken", 400, S3Fault.SETUP),
        ("RequestTimeTooSkewed", 403, S3Fault.SETUP),
        ("InvalidObjectState", 403, S3Fault.REFUSED),
        ("PreconditionFailed", 412, S3Fault.REFUSED),
        ("InvalidArgument", 400, S3Fault.REFUSED),
        ("SlowDown", 503, S3Fault.PASSING),
        ("RequestTimeout", 400, S3Fault.PASSING),
        ("Whatever", 500, S3Fault.PASSING),
        ("429", 429, S3Fault.PASSING),
    ],
)
def test_an_answer_of_s3_is_judged_by_its_code_before_its_status(code, status, fault):
    assert answered(code, status).fault is fault


def test_the_wish_of_a_busy_server_is_carried():
    assert answered("SlowDown", 503, **{"retry-after": "7"}).retry_after == 7.0


@pytest.mark.parametrize(
    ("error", "fault"),
    [
        (vendor.ConnectTimeoutError(endpoint_url="u"), S3Fault.PASSING),
        (vendor.ReadTimeoutError(endpoint_url="u"), S3Fault.PASSING),
        (vendor.EndpointConnectionError(endpoint_url="u"), S3Fault.PASSING),
        (vendor.ConnectionClosedError(endpoint_url="u"), S3Fault.PASSING),
        (vendor.ResponseStreamingError(error="e"), S3Fault.PASSING),
        (vendor.IncompleteReadError(actual_bytes=1, expected_bytes=2), S3Fault.PASSING),
        (vendor.FlexibleChecksumError(error_msg="e"), S3Fault.PASSING),
        (vendor.NoCredentialsError(), S3Fault.SETUP),
        (vendor.PartialCredentialsError(provider="p", cred_var="c"), S3Fault.SETUP),
        (vendor.ParamValidationError(report="r"), S3Fault.REFUSED),
    ],
)
def test_a_call_that_got_no_answer_is_passing_unless_it_could_never_be_made(error, fault):
    assert translated(error).fault is fault


def test_every_error_of_the_vendor_that_is_about_the_connection_passes():
    """A newer botocore may add some: they are judged by their family."""
    families = (vendor.HTTPClientError, vendor.ConnectionError)
    connection = [kind for kind in vars(vendor).values() if isinstance(kind, type) and issubclass(kind, families)]

    assert len(connection) > 8
    for kind in connection:
        error = kind.__new__(kind)
        Exception.__init__(error, "message")
        assert translated(error).fault is S3Fault.PASSING
