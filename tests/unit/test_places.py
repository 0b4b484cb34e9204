from pathlib import Path

import pytest

from connectors.content_types import content_type_of, typed
from connectors.policy import FetchPolicy
from connectors.retry_after import retry_after_s
from connectors.uris import RefusedPlace, S3Place, path_of, redacted, s3_place_of, scheme_of
from stream_infer.errors import ConfigError


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("https://host/cat.jpg", "https://host/cat.jpg"),
        ("https://user:secret@host:8443/cat.jpg", "https://host:8443/cat.jpg"),
        ("https://host/cat.jpg?X-Amz-Signature=secret#secret", "https://host/cat.jpg?…"),
        ("/cat.jpg?token=secret", "/cat.jpg?…"),
        ("https://user:sec/ret@host/", "https://…/"),
        ("https://[2001:db8::1]:80/cat.jpg", "https://[2001:db8::1]:80/cat.jpg"),
        ("s3://bucket/what?.jpg", "s3://bucket/what?.jpg"),
        ("https://host/\udcff", "https://host/?"),
    ],
)
def test_messages_show_no_user_no_password_and_no_signature(uri, shown):
    assert redacted(uri) == shown


def test_a_file_uri_is_percent_decoded_to_its_bytes():
    assert path_of("file:///data/a%20b%23%C3%BC.jpg") == Path("/data/a b#ü.jpg")
    assert bytes(path_of("file://localhost/data/%FF")) == b"/data/\xff"


@pytest.mark.parametrize(
    "uri", ["file://host/x", "file:x", "file:///x#y", "file:///x?y", "file:///x%00y", "http://host/x", "file://["]
)
def test_what_is_no_file_of_this_machine_is_refused(uri):
    with pytest.raises(RefusedPlace, match="file:"):
        path_of(uri)


def test_an_s3_key_is_taken_as_it_is():
    assert s3_place_of("s3://bucket/a%20b/c?d#e") == S3Place("bucket", "a%20b/c?d#e")


@pytest.mark.parametrize("uri", ["s3://", "s3:///key", "s3:bucket", "s3://bucket/a/../b", "s3://bucket/./b"])
def test_an_s3_address_without_a_bucket_or_with_dots_is_refused(uri):
    with pytest.raises(RefusedPlace):
        s3_place_of(uri)


@pytest.mark.parametrize(("uri", "scheme"), [("HTTPS://h", "https"), ("/a:b", ""), ("a/b:c", ""), ("data:,x", "data")])
def test_the_scheme_is_what_stands_before_the_first_colon(uri, scheme):
    assert scheme_of(uri) == scheme


@pytest.mark.parametrize("key", ["in", "in/a", "in/a/b"])
def test_an_s3_prefix_allows_itself_and_what_lies_below(key):
    FetchPolicy(allowed_s3_prefixes=("s3://bucket/in/",)).check_s3(S3Place("bucket", key))


@pytest.mark.parametrize("place", [S3Place("bucket", "inner"), S3Place("bucket", "i"), S3Place("bucke", "in/a")])
def test_an_s3_prefix_ends_at_a_slash(place):
    with pytest.raises(RefusedPlace, match=r"fetch\.allowed_s3_prefixes"):
        FetchPolicy(allowed_s3_prefixes=("s3://bucket/in",)).check_s3(place)


def test_a_directory_is_allowed_on_a_path_boundary(tmp_path):
    (tmp_path / "in").mkdir()
    policy = FetchPolicy(allowed_directories=(tmp_path / "in",))

    assert policy.allowed_root(tmp_path / "in" / "a") == tmp_path / "in"
    with pytest.raises(RefusedPlace, match=r"fetch\.allowed_directories"):
        policy.allowed_root(tmp_path / "inner")


def test_a_policy_with_a_relative_directory_or_a_malformed_prefix_is_a_config_error():
    with pytest.raises(ConfigError, match="not absolute"):
        FetchPolicy(allowed_directories=(Path("data"),))
    with pytest.raises(ConfigError, match=r"fetch\.allowed_s3_prefixes"):
        FetchPolicy(allowed_s3_prefixes=("bucket/in",))


@pytest.mark.parametrize(
    ("name", "given", "told", "content_type"),
    [
        ("a.jpg", "image/x-mine", "image/png", "image/x-mine"),
        ("a.jpg", None, "image/png", "image/png"),
        ("a.jpg", None, "binary/octet-stream", "image/jpeg"),
        ("a.jpg", None, None, "image/jpeg"),
        ("dir.png/a", None, None, "application/octet-stream"),
        ("a.csv.gz", None, None, "application/gzip"),
        ("a", None, "Application/JSON; charset=UTF-8", "application/json"),
        ("a", None, "text/plain; charset=latin-1", "text/plain; charset=latin-1"),
        ("a", None, "nonsense", "application/octet-stream"),
        ("a", None, "text/plain\r\nx: y", "application/octet-stream"),
        ("a", None, 'text/plain; a=b; Charset="UTF-16"', "text/plain; charset=utf-16"),
        ("a.jpg", "; max-bytes=1", "image/png", "image/png; max-bytes=1"),
        ("a.jpg", "; max-bytes=1", None, "image/jpeg; max-bytes=1"),
    ],
)
def test_the_content_type_is_given_or_told_or_guessed_from_the_name(name, given, told, content_type):
    assert content_type_of(name, given=given, told=told) == content_type


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("120", 120.0),
        (" 0 ", 0.0),
        ("Thu, 01 Jan 1970 00:20:00 GMT", 200.0),
        ("Thu, 01 Jan 1970 00:20:00 -0000", 200.0),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
        ("-5", None),
        ("soon", None),
        ("", None),
        (None, None),
    ],
)
def test_retry_after_is_seconds_or_a_date(header, seconds):
    assert retry_after_s(header, now=1000.0) == seconds


def test_a_line_has_the_type_of_its_name_and_the_parameters_that_are_given():
    assert typed("; batch=lines", lambda: "text/csv") == "text/csv; batch=lines"
    assert typed("text/x", pytest.fail) == "text/x"
    assert typed(None, lambda: "text/csv") == "text/csv"
