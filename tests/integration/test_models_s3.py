"""Models out of real S3 servers."""

import pytest

from connectors.models import fetch_model
from connectors.models import s3 as models_s3
from stream_infer.errors import PredictorUnavailable, ServiceUnavailable
from tests.support.s3_fixture import S3Server


@pytest.fixture
def put(s3: S3Server, monkeypatch: pytest.MonkeyPatch):
    for name, value in s3.environment().items():
        monkeypatch.setenv(name, value)
    client = s3.client()
    yield lambda key, data: client.put_object(Bucket=s3.bucket, Key=key, Body=data)
    client.close()


def test_an_object_is_copied_once_and_anew_when_it_was_replaced(s3, put, tmp_path):
    put("models/net.pt", b"first")
    uri = f"s3://{s3.bucket}/models/net.pt"

    first = fetch_model(uri, tmp_path)
    again = fetch_model(uri, tmp_path)
    put("models/net.pt", b"second")
    second = fetch_model(uri, tmp_path)

    assert first == again
    assert (first.name, first.read_bytes()) == ("net.pt", b"first")
    assert (second.name, second.read_bytes()) == ("net.pt", b"second")


def test_an_object_larger_than_a_request_comes_whole(s3, put, tmp_path, monkeypatch):
    monkeypatch.setattr(models_s3, "CHUNK_BYTES", 1000)
    data = bytes(range(256)) * 13
    put("net.pt", data)
    put("empty.pt", b"")

    assert fetch_model(f"s3://{s3.bucket}/net.pt", tmp_path).read_bytes() == data
    assert fetch_model(f"s3://{s3.bucket}/empty.pt", tmp_path).read_bytes() == b""


@pytest.mark.parametrize("end", ["", "/"])
def test_a_prefix_is_copied_as_a_folder_without_its_namesakes(s3, put, tmp_path, end):
    put("models/net/MLmodel", b"flavors: {}")
    put("models/net/data/model.pth", b"weights")
    put("models/net-2/MLmodel", b"another")

    folder = fetch_model(f"s3://{s3.bucket}/models/net{end}", tmp_path)

    assert folder.name == "net"
    assert {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} == {
        "MLmodel",
        "data/model.pth",
    }
    put("models/net/labels.txt", b"cat")
    assert (fetch_model(f"s3://{s3.bucket}/models/net{end}", tmp_path) / "labels.txt").read_bytes() == b"cat"


def test_what_cannot_be_had_is_named_with_what_to_do(s3, put, tmp_path, monkeypatch):
    put("net.pt", b"weights")
    uri = f"s3://{s3.bucket}/net.pt"

    with pytest.raises(PredictorUnavailable, match=r"none\.pt cannot be fetched: there is no such object"):
        fetch_model(f"s3://{s3.bucket}/none.pt", tmp_path)
    with pytest.raises(PredictorUnavailable, match="there is no such bucket"):
        fetch_model("s3://no-such-bucket-at-all/net.pt", tmp_path)
    with pytest.raises(PredictorUnavailable, match=r"7 bytes, the limit is 6: raise models\.max_bytes"):
        fetch_model(uri, tmp_path, max_bytes=6)
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with pytest.raises(ServiceUnavailable, match="S3 cannot be reached"):
        fetch_model(uri, tmp_path)
    assert [path.name for path in tmp_path.rglob("*") if path.is_file() and path.name != "lock"] == []
