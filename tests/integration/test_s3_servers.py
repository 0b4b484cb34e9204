import pytest
from botocore.exceptions import ClientError

from tests.support.s3_fixture import S3Server


def test_each_test_gets_an_empty_bucket_that_takes_objects(s3: S3Server):
    client = s3.client()
    assert client.list_objects_v2(Bucket=s3.bucket)["KeyCount"] == 0

    client.put_object(Bucket=s3.bucket, Key="a/b", Body=b"bytes")

    assert client.get_object(Bucket=s3.bucket, Key="a/b")["Body"].read() == b"bytes"
    client.close()


def test_an_account_that_is_denied_a_prefix_lists_all_and_reads_the_rest(s3: S3Server):
    client = s3.client()
    for key in ("in/a", "in/locked/b"):
        client.put_object(Bucket=s3.bucket, Key=key, Body=b"bytes")
    client.close()
    reader = s3.denying("in/locked/").client()

    assert [entry["Key"] for entry in reader.list_objects_v2(Bucket=s3.bucket)["Contents"]] == ["in/a", "in/locked/b"]
    assert reader.get_object(Bucket=s3.bucket, Key="in/a")["Body"].read() == b"bytes"
    if s3.admin:
        with pytest.raises(ClientError, match="AccessDenied"):
            reader.get_object(Bucket=s3.bucket, Key="in/locked/b")
    reader.close()
