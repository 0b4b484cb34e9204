from tests.support.s3_fixture import S3Server


def test_each_test_gets_an_empty_bucket_that_takes_objects(s3: S3Server):
    client = s3.client()
    assert client.list_objects_v2(Bucket=s3.bucket)["KeyCount"] == 0

    client.put_object(Bucket=s3.bucket, Key="a/b", Body=b"bytes")

    assert client.get_object(Bucket=s3.bucket, Key="a/b")["Body"].read() == b"bytes"
    client.close()
