"""The fetchers against real servers and real files."""

import asyncio
import os
import ssl
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import formatdate
from pathlib import Path

import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from connectors.fetchers import addresses, open_fetcher
from connectors.fetchers.by_scheme import FetcherByScheme
from connectors.fetchers.http import HttpFetcher
from connectors.fetchers.s3 import S3Fetcher
from connectors.policy import FetchPolicy
from stream_infer.errors import RefusedItem, RetryableError
from stream_infer.ports import Reference
from stream_infer.records import Payload
from tests.support.names import Names, system_names

PRIVATE = FetchPolicy(allow_private_addresses=True, timeout_s=60, max_bytes=1000)


async def fetch(policy, uri, content_type=None):
    fetcher = open_fetcher(policy)
    try:
        return await fetcher.fetch(Reference(uri, content_type))
    finally:
        await fetcher.close()


def fetched(policy, uri, content_type=None):
    return asyncio.run(fetch(policy, uri, content_type))


async def cat(_request):
    return web.Response(body=b"cat", content_type="image/jpeg")


async def octets(_request):
    return web.Response(body=b"cat")


async def typed(_request):
    return web.Response(body=b"{}", headers={"Content-Type": "application/json; charset=utf-8"})


async def oversize(_request):
    return web.Response(body=b"x" * 1001)


async def bomb(_request):
    response = web.Response(body=b"x" * 10_000_000)
    response.enable_compression(web.ContentCoding.gzip)
    return response


async def endless(request):
    response = web.StreamResponse()
    await response.prepare(request)
    try:
        while True:
            await response.write(b"x" * 100)
    except ConnectionError:
        return response


async def stalls(request):
    response = web.StreamResponse()
    await response.prepare(request)
    await response.write(b"half")
    await asyncio.Event().wait()
    return response


async def breaks_off(request):
    response = web.StreamResponse(headers={"Content-Length": "100"})
    await response.prepare(request)
    await response.write(b"half")
    request.transport.abort()
    return response


async def answers(request):
    headers = {"Retry-After": request.query["after"]} if "after" in request.query else {}
    return web.Response(status=int(request.match_info["status"]), headers=headers)


async def redirects(request):
    return web.Response(status=302, headers={"Location": request.query["to"]})


async def redirects_again(request):
    left = int(request.match_info["left"])
    return web.Response(status=307, headers={"Location": f"/again/{left - 1}" if left else "/cat.jpg"})


@asynccontextmanager
async def serving(tls=None):
    """A server on a free port of 127.0.0.1; gives its base URL."""
    app = web.Application()
    for path, handler in (
        ("/cat.jpg", cat),
        ("/octets.png", octets),
        ("/typed", typed),
        ("/oversize", oversize),
        ("/bomb", bomb),
        ("/endless", endless),
        ("/stalls", stalls),
        ("/breaks-off", breaks_off),
        ("/answers/{status}", answers),
        ("/redirects", redirects),
        ("/again/{left}", redirects_again),
    ):
        app.router.add_get(path, handler)
    runner = web.AppRunner(app, shutdown_timeout=0, handler_cancellation=True)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
    await site.start()
    try:
        yield f"{'https' if tls else 'http'}://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def served(path, policy=PRIVATE, content_type=None, tls=None):
    """What a fetch of `path` from the server gives; `{base}` in it is the server."""

    async def run():
        async with serving(tls) as base:
            return await fetch(policy, base + path.format(base=base), content_type)

    return asyncio.run(run())


def test_an_allowed_url_brings_its_bytes_and_content_type():
    assert served("/cat.jpg") == Payload(b"cat", "image/jpeg")
    assert served("/cat.jpg", content_type="image/x-mine").content_type == "image/x-mine"
    assert served("/octets.png").content_type == "image/png"
    assert served("/typed").content_type == "application/json"


def test_a_private_address_is_refused_before_anything_is_sent():
    with pytest.raises(
        RefusedItem, match=r"127\.0\.0\.1 is not a public address: it is loopback.*fetch\.allow_private"
    ):
        served("/cat.jpg", FetchPolicy())


@pytest.mark.parametrize("host", ["localhost", "0x7f.1", "[::1]", "[::ffff:127.0.0.1]", "0", "127.0.0.1."])
def test_every_spelling_of_this_machine_is_refused(host):
    with pytest.raises(RefusedItem, match=r"not a public address|not a URL"):
        fetched(FetchPolicy(), f"http://{host}:1/")


@pytest.fixture
def only_loopback_is_public(monkeypatch):
    """So that the server can redirect to addresses that are refused."""
    real = addresses.objection
    monkeypatch.setattr(addresses, "objection", lambda host: None if host == "127.0.0.1" else real(host))


def test_a_name_that_answers_differently_the_second_time_gains_nothing(only_loopback_is_public):
    """It is resolved once a connection, and what was checked is what is connected to."""

    async def run():
        async with serving() as base:
            port = base.rpartition(":")[2]
            names = Names("127.0.0.1", "10.0.0.1")
            fetcher = HttpFetcher(FetchPolicy(timeout_s=60), names)
            try:
                return await fetcher.fetch(Reference(f"http://rebinding.example:{port}/cat.jpg")), names.addresses
            finally:
                await fetcher.close()

    payload, unused = asyncio.run(run())
    assert (payload.data, unused) == (b"cat", ["10.0.0.1"])


@pytest.mark.parametrize("path", ["/cat.jpg", "/redirects?to=http://again.example:{port}/cat.jpg"])
def test_the_systems_names_are_looked_up_once_a_host_on_each_redirect_too(only_loopback_is_public, monkeypatch, path):
    """What was checked is what is connected to."""

    async def run():
        async with serving() as base:
            port = base.rpartition(":")[2]
            return await fetch(FetchPolicy(timeout_s=60), f"http://first.example:{port}{path.format(port=port)}")

    redirected = "again" in path
    with system_names(monkeypatch, *["127.0.0.1"] * (1 + redirected), "10.0.0.1") as names:
        assert asyncio.run(run()).data == b"cat"

    assert names.asked == ["first.example", "again.example"][: 1 + redirected]
    assert names.addresses == ["10.0.0.1"]


def test_names_whose_server_does_not_answer_keep_no_other_waiting(only_loopback_is_public, monkeypatch):
    """Those who look up for aiohttp itself are the event loop's, six on two cores, and the end waited for them."""

    async def run():
        async with serving() as base:
            port = base.rpartition(":")[2]
            fetcher = open_fetcher(FetchPolicy(timeout_s=20, concurrency=32))
            dead = [
                asyncio.ensure_future(fetcher.fetch(Reference(f"http://dead-{number}.example/")))
                for number in range(31)
            ]
            try:
                return await asyncio.wait_for(fetcher.fetch(Reference(f"http://well.example:{port}/cat.jpg")), 10)
            finally:
                for one in dead:
                    one.cancel()
                await fetcher.close()

    with system_names(monkeypatch, "127.0.0.1"):
        assert asyncio.run(run()).data == b"cat"


def test_a_redirect_to_a_private_name_is_refused(only_loopback_is_public):

    async def run():
        async with serving() as base:
            port = base.rpartition(":")[2]
            fetcher = HttpFetcher(FetchPolicy(timeout_s=60), Names("127.0.0.1", "169.254.169.254"))
            try:
                target = "http://metadata.example/secret"
                await fetcher.fetch(Reference(f"http://public.example:{port}/redirects?to={target}"))
            finally:
                await fetcher.close()

    with pytest.raises(RefusedItem, match=r"metadata\.example \(169\.254\.169\.254\) is not a public address"):
        asyncio.run(run())


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("http://10.0.0.1/", r"10\.0\.0\.1 is not a public address"),
        ("http://[::ffff:169.254.169.254]/", "metadata"),
        ("file:///etc/passwd", "only those are followed"),
        ("ftp://host/", "only those are followed"),
        ("http://user:secret@host/", "holds a user or a password"),
        ("http://host:port/", "not a URL"),
    ],
)
def test_each_redirect_is_checked_like_the_first_address(only_loopback_is_public, target, reason):
    with pytest.raises(RefusedItem, match=reason) as caught:
        served(f"/redirects?to={target}", FetchPolicy(timeout_s=60))
    assert "secret" not in str(caught.value)


def test_five_redirects_are_followed_and_a_sixth_is_refused():
    assert served("/again/4").data == b"cat"
    with pytest.raises(RefusedItem, match="redirects more than 5 times"):
        served("/again/5")


def test_an_encrypted_address_does_not_redirect_to_an_open_one():
    fetcher = HttpFetcher(PRIVATE)
    first = fetcher._checked("https://host/a", None)

    assert str(fetcher._checked("/b", first)) == "https://host/b"
    with pytest.raises(RefusedItem, match="not encrypted"):
        fetcher._checked("http://host/b", first)


@pytest.mark.parametrize("uri", ["https://user:secret@host/x", "https://secret@host/x", "https://:secret@host/x"])
def test_a_url_with_credentials_is_refused_and_not_repeated(uri):
    with pytest.raises(RefusedItem, match="holds a user or a password") as caught:
        fetched(PRIVATE, uri)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("uri", ["http://", "http:///x", "http://host:99999/", "http://[", "https://" + "a" * 70 + "/"])
def test_a_url_that_cannot_be_asked_is_refused(uri):
    with pytest.raises(RefusedItem):
        fetched(PRIVATE, uri)


@pytest.mark.parametrize("path", ["/oversize", "/bomb", "/endless"])
def test_a_payload_over_the_limit_is_refused_without_being_read_whole(path):
    with pytest.raises(RefusedItem, match=r"the limit is 1000: raise fetch\.max_bytes"):
        served(path)


def test_a_body_that_stalls_is_retried_later():
    with pytest.raises(RetryableError, match=r"within 0\.2 s \(fetch\.timeout\)"):
        served("/stalls", FetchPolicy(allow_private_addresses=True, timeout_s=0.2))


def test_a_connection_that_breaks_or_is_refused_is_retried_later():
    with pytest.raises(RetryableError, match="the connection broke"):
        served("/breaks-off?token=secret")
    with pytest.raises(RetryableError, match=r"127\.0\.0\.1 cannot be reached") as caught:
        fetched(PRIVATE, "http://127.0.0.1:9/x?token=secret")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 304, 300])
def test_a_status_that_will_not_change_refuses_the_item(status):
    with pytest.raises(RefusedItem, match=f"answers {status}"):
        served(f"/answers/{status}")


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_a_status_that_may_pass_is_retried_when_the_server_wishes(status):
    with pytest.raises(RetryableError, match=f"answers {status}") as caught:
        served(f"/answers/{status}?after=7")
    assert caught.value.retry_after == 7.0
    assert "after=" not in str(caught.value)


def test_a_server_may_name_the_time_of_its_return():
    with pytest.raises(RetryableError) as caught:
        served("/answers/503?after=" + formatdate(4102444800, usegmt=True).replace(" ", "%20"))
    assert caught.value.retry_after > 1e6


@pytest.fixture
def self_signed(tmp_path):
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (tmp_path / "both.pem").write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tmp_path / "both.pem")
    return context


def test_a_certificate_that_is_not_trusted_refuses_the_item(self_signed):
    with pytest.raises(RefusedItem, match=r"certificate of 127\.0\.0\.1 is not trusted"):
        served("/cat.jpg", tls=self_signed)


def test_an_unknown_scheme_is_refused_with_the_known_ones():
    for uri in ("gs://bucket/x", "cat.jpg", "", "data:,x"):
        with pytest.raises(RefusedItem, match=r"s3://, file://, https://, http://"):
            fetched(PRIVATE, uri)


def test_closing_closes_each_fetcher_once():
    class Counted:
        closed = 0

        async def close(self):
            self.closed += 1

    fetcher = Counted()
    asyncio.run(FetcherByScheme({"http": fetcher, "https": fetcher}).close())
    assert fetcher.closed == 1


@pytest.fixture
def files(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a b.png").write_bytes(b"png")
    (tmp_path / "secret").write_bytes(b"secret")
    return tmp_path


def file_policy(files, **limits):
    return FetchPolicy(allowed_directories=(files / "in",), timeout_s=60, **limits)


def test_an_allowed_file_brings_its_bytes_and_the_type_of_its_name(files):
    uri = (files / "in" / "a b.png").as_uri()

    assert fetched(file_policy(files), uri) == Payload(b"png", "image/png")
    assert fetched(file_policy(files), uri, "image/x-mine").content_type == "image/x-mine"


def test_a_file_outside_the_allowed_directories_is_refused_by_any_way_in(files):
    (files / "in" / "link").symlink_to(files / "secret")
    (files / "in" / "up").symlink_to(files)
    (files / "inner").write_bytes(b"x")
    for path in ("secret", "in/../secret", "in/%2e%2e/secret", "in/link", "in/up/secret", "inner", "in/../gone"):
        with pytest.raises(RefusedItem, match=r"fetch\.allowed_directories"):
            fetched(file_policy(files), f"file://{files}/{path}")


def test_a_file_below_a_linked_allowed_directory_is_served(files):
    (files / "alias").symlink_to(files / "in")
    policy = FetchPolicy(allowed_directories=(files / "alias",))

    assert fetched(policy, f"file://{files}/alias/a%20b.png").data == b"png"
    assert fetched(policy, f"file://{files}/in/a%20b.png").data == b"png"


def test_what_is_gone_or_no_regular_file_is_refused_without_waiting(files):
    os.mkfifo(files / "in" / "pipe")
    for path, reason in (
        ("in/gone.png", "is not there"),
        ("in/a%20b.png/x", "is not there"),
        ("in/" + "x" * 300, "is not there"),
        ("in", "not a regular file"),
        ("in/pipe", "not a regular file"),
    ):
        with pytest.raises(RefusedItem, match=reason):
            fetched(file_policy(files), f"file://{files}/{path}")


def test_a_file_over_the_limit_is_refused_and_one_at_the_limit_is_not(files):
    uri = (files / "in" / "a b.png").as_uri()

    assert fetched(file_policy(files, max_bytes=3), uri).data == b"png"
    with pytest.raises(RefusedItem, match=r"has 3 bytes.*fetch\.max_bytes"):
        fetched(file_policy(files, max_bytes=2), uri)


def test_a_file_that_lies_about_its_size_is_read_to_the_limit():
    """Files of /proc say 0 bytes, like one that grows after it was looked at."""
    policy = FetchPolicy(allowed_directories=(Path("/proc"),), max_bytes=100)
    with pytest.raises(RefusedItem, match="has 101 bytes or more"):
        fetched(policy, "file:///proc/cpuinfo")


def test_a_directory_swapped_for_a_link_after_the_check_leads_nowhere(files, monkeypatch):
    """What is opened is the path that was checked, and no link on it is followed."""
    (files / "in" / "sub").mkdir()
    (files / "in" / "sub" / "secret").write_bytes(b"harmless")
    real = os.path.realpath

    def swap(path, **options):
        resolved = real(path, **options)
        if str(resolved).endswith("sub/secret"):
            (files / "in" / "sub").rename(files / "in" / "moved")
            (files / "in" / "sub").symlink_to(files)
        return resolved

    monkeypatch.setattr("connectors.local_files.os.path.realpath", swap)
    with pytest.raises(RefusedItem):
        fetched(file_policy(files), f"file://{files}/in/sub/secret")


@pytest.fixture
def bucket(s3, monkeypatch):
    for name, value in s3.environment().items():
        monkeypatch.setenv(name, value)
    client = s3.client()
    client.put_object(Bucket=s3.bucket, Key="in/ü 1.png", Body=b"png")
    client.put_object(Bucket=s3.bucket, Key="in/typed", Body=b"{}", ContentType="application/json")
    client.put_object(Bucket=s3.bucket, Key="secret", Body=b"secret")
    client.close()
    return s3.bucket


def s3_policy(bucket, **limits):
    return FetchPolicy(allowed_s3_prefixes=(f"s3://{bucket}/in", "s3://no-such-bucket-here"), timeout_s=60, **limits)


def test_an_allowed_object_brings_its_bytes_and_type(bucket):
    assert fetched(s3_policy(bucket), f"s3://{bucket}/in/ü 1.png") == Payload(b"png", "image/png")
    assert fetched(s3_policy(bucket), f"s3://{bucket}/in/typed").content_type == "application/json"


def test_an_object_that_is_gone_forbidden_or_too_large_is_refused(bucket):
    for uri, reason in (
        (f"s3://{bucket}/in/gone", "no such object"),
        ("s3://no-such-bucket-here/x", "no such bucket"),
        (f"s3://{bucket}/secret", r"fetch\.allowed_s3_prefixes"),
        (f"s3://{bucket}/in/../secret", "'..' between"),
        (f"s3://{bucket}/in", "no such object|refuses"),
        (f"s3://{bucket}/in/ü 1.png", r"has 3 bytes.*fetch\.max_bytes"),
    ):
        with pytest.raises(RefusedItem, match=reason):
            fetched(s3_policy(bucket, max_bytes=2), uri)


def test_s3_that_cannot_be_reached_is_retried_later(bucket, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")

    with pytest.raises(RetryableError, match="cannot be reached"):
        fetched(s3_policy(bucket), f"s3://{bucket}/in/typed")


@pytest.mark.parametrize("s3_server", ["versitygw"], indirect=True)  # moto accepts every secret
def test_credentials_that_s3_refuses_are_no_fault_of_the_item(bucket, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")

    with pytest.raises(RetryableError, match="credentials"):
        fetched(s3_policy(bucket), f"s3://{bucket}/in/typed")


@asynccontextmanager
async def s3_that_answers_signed_urls(status):
    """An S3 that answers signed URLs with `status` and boto3's own requests with an object; and who asked it."""
    asked = []

    async def answer(request):
        asked.append("signed URL" if "X-Amz-Signature" in request.query else "boto3")
        return web.Response(status=status) if asked[-1] == "signed URL" else web.json_response({})

    app = web.Application()
    app.router.add_get("/{key:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}", asked
    finally:
        await runner.cleanup()


def who_is_asked_for_two_objects(status, monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")

    async def run():
        async with s3_that_answers_signed_urls(status) as (url, asked):
            fetcher = open_fetcher(FetchPolicy(allowed_s3_prefixes=("s3://b",), timeout_s=60), url)
            try:
                for key in ("1", "2"):
                    assert await fetcher.fetch(Reference(f"s3://b/{key}")) == Payload(b"{}", "application/json")
            finally:
                await fetcher.close()
            return asked

    return asyncio.run(run())


def test_where_the_environment_names_a_proxy_all_is_left_to_boto3(monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    assert who_is_asked_for_two_objects(403, monkeypatch) == ["boto3", "boto3"]


@pytest.mark.parametrize("status", [301, 307, 400, 403])
def test_a_bucket_that_only_boto3_can_read_is_left_to_it(status, monkeypatch):
    assert who_is_asked_for_two_objects(status, monkeypatch) == ["signed URL", "boto3", "boto3"]


def test_an_ill_s3_is_asked_once_more_and_its_bucket_is_read_by_signed_urls_again(monkeypatch):
    assert who_is_asked_for_two_objects(503, monkeypatch) == ["signed URL", "boto3"] * 2


def test_an_object_of_the_store_is_read_with_one_request(bucket, monkeypatch):
    """Else boto3 would hide that signed URLs do not work."""
    monkeypatch.setattr(S3Fetcher, "_read_by_boto", None)
    assert fetched(s3_policy(bucket), f"s3://{bucket}/in/ü 1.png") == Payload(b"png", "image/png")


def test_credentials_that_are_missing_are_no_fault_of_the_item(monkeypatch, tmp_path):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(RetryableError, match="cannot be used as it is set up"):
        fetched(FetchPolicy(allowed_s3_prefixes=("s3://b",), timeout_s=60), "s3://b/x")
