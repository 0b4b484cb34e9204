"""A gateway that asks for keys and speaks TLS, on a real broker; and clients that mean ill."""

import gzip
import json
import os
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote, urlencode, urlsplit

import boto3
import pytest
import urllib3
import yaml
from botocore.config import Config
from botocore.exceptions import ClientError

from stream_infer.clients import calls
from stream_infer.clients.gateway import Gateway
from stream_infer.clients.steps import Retries
from stream_infer.errors import ServiceUnavailable, UsageError
from stream_infer.gateway.access import RULES
from stream_infer.http import bodies
from stream_infer.http import listening as listening_module
from stream_infer.http.keys import KeyEntry, NewKey, Scope, for_aws, new_key
from stream_infer.http.keys_file import entry_text
from stream_infer.http_settings import GatewaySettings, RealtimeSettings
from stream_infer.settings import Settings
from tests.support.certificates import Authority
from tests.support.gateway import GatewayHarness, HttpClient
from tests.support.realtime import realtime_settings, replica
from tests.support.settings import settings_for

NDJSON = "application/x-ndjson"
ONE = {"item_list": {"items": [1]}}
SUBMIT = "/v1/apis/echo/jobs"


def made(name: str, *scopes: Scope, **limits: Any) -> NewKey:
    key, entry = new_key(name, scopes)
    return NewKey(key, entry.model_copy(update=limits))


KEYS = {
    "reader": made("reader", Scope.READ),
    "submitter": made("submitter", Scope.SUBMIT),
    "both": made("both", Scope.READ, Scope.SUBMIT),
    "admin": made("admin", Scope.ADMIN),
    "small": made("small", Scope.SUBMIT, request_bytes=2000),
    "slow": made("slow", Scope.READ, requests_per_second=0.01, burst=2),
    "rotated": made("rotated", Scope.READ),
}
SIGNING = {
    "signing": for_aws(made("signing", Scope.READ, Scope.SUBMIT).entry),
    "looking": for_aws(made("looking", Scope.READ).entry),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("guarded")


@pytest.fixture(scope="module")
def keys_file(folder: Path) -> Path:
    file = folder / "keys.yaml"
    entries = [*(key.entry for key in KEYS.values()), *SIGNING.values()]
    file.write_text("".join(entry_text(entry) for entry in entries))
    return file


@pytest.fixture(scope="module")
def harness(bootstrap_servers: str, folder: Path, keys_file: Path) -> GatewayHarness:
    gateway = {"listen": "127.0.0.1:0", "api_keys_file": str(keys_file)}
    limits = {"request_bytes": 20_000, "payload_bytes": 1000}
    api = {"predictor": {"type": "cortex", "path": "predictor.py"}}
    prefix = f"t-guarded-{time.time_ns()}"
    return GatewayHarness(settings_for(bootstrap_servers, prefix, folder, api=api, gateway=gateway, limits=limits))


@pytest.fixture(scope="module")
def client(harness: GatewayHarness) -> Iterator[HttpClient]:
    with harness.gateway() as client:
        yield client


def ask(method: str, url: str, **more: Any) -> Any:
    return urllib3.request(method, url, retries=False, timeout=30, **more)


def bearer(name: str) -> dict[str, str]:
    return {"authorization": f"Bearer {KEYS[name].key}"}


def eventually(holds: Callable[[], bool], within_s: float = 60.0) -> None:
    deadline = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


PLACES = {"api": "echo", "job_id": "none", "ref": "0-0", "name": "none", "deployment": "d"}
PLACES |= {"upload_id": "1700000000-01234567-0123456789abcdef", "file_id": "file-none", "batch_id": "none"}


@pytest.mark.parametrize("name", sorted(name for name, rule in RULES.items() if rule.scope is not None))
def test_no_route_answers_without_a_key_or_with_one_of_another_scope(client: HttpClient, name: str) -> None:
    method, path = name.split(" ")
    url = client.url + path.format(**PLACES)
    needed = RULES[name].scope
    wrong = "submitter" if needed is Scope.READ else "reader"
    is_aws = path == "/"
    for headers, status in (
        ({}, 401),
        ({"X-API-Key": "si_000000000000_" + "x" * 43}, 401),
        ({"Authorization": "Bearer "}, 401),
        (bearer(wrong), 403),
    ):
        answer = ask(method, url, headers=headers, body=b"{}" if method == "POST" else None)
        assert answer.status == (400 if is_aws else status), (headers, answer.data)
        if is_aws:
            kind = {401: "UnrecognizedClientException", 403: "AccessDeniedException"}[status]
            assert answer.json()["__type"] == kind
        elif path.startswith(("/{", "/batch")):
            assert "API key" in answer.json()["message"]
        elif path.startswith(("/v1/files", "/v1/batches")):
            assert "API key" in answer.json()["error"]["message"]
        else:
            assert answer.headers["content-type"].startswith("application/problem+json")


def test_what_is_open_is_answered_and_a_path_that_is_none_is_said_to_be(client: HttpClient) -> None:
    for path in ("/healthz", "/readyz", "/openapi.json"):
        client("GET", path, status=200)
    client("GET", "/v2/nothing/here/at/all", status=404)
    client("PUT", "/v1/jobs", status=405)


def test_each_scope_does_its_own(client: HttpClient) -> None:
    job = client("POST", SUBMIT, ONE, status=202, **bearer("submitter"))
    client("GET", f"/v1/jobs/{job['job_id']}", status=403, **bearer("submitter"))
    assert client("GET", f"/v1/jobs/{job['job_id']}", status=200, **bearer("reader"))["job_id"] == job["job_id"]
    client("POST", SUBMIT, ONE, status=403, **bearer("reader"))
    replay = f"/v1/jobs/{job['job_id']}/dlq/replay"
    client("POST", replay, {}, status=403, **bearer("both"))
    client("POST", replay, {}, status=409, **bearer("admin"))
    client("GET", "/v1/apis", status=200, x_api_key=KEYS["admin"].key)


def test_an_idempotency_key_is_the_callers_own(client: HttpClient) -> None:
    ids = [
        client("POST", SUBMIT, ONE, status=202, idempotency_key="monday", **bearer(name))["job_id"]
        for name in ("submitter", "submitter", "both")
    ]
    assert ids[0] == ids[1] != ids[2]


def test_a_key_has_limits_of_its_own(client: HttpClient) -> None:
    body = {"item_list": {"items": ["x" * 900, "y" * 900, "z" * 900]}}
    assert "of this API key" in client("POST", SUBMIT, body, status=413, **bearer("small"))["detail"]
    client("POST", SUBMIT, body, status=202, **bearer("submitter"))
    lines = b'"%b"\n' % (b"x" * 900) * 3
    headers = {"content_type": NDJSON, **bearer("small")}
    assert client("POST", "/v1/apis/echo/items", raw=lines, status=413, **headers)["accepted"] == 0
    client("POST", "/v1/uploads", raw=lines, status=413, content_type="application/octet-stream", **bearer("small"))

    answers = [ask("GET", f"{client.url}/v1/apis", headers=bearer("slow")) for _ in range(3)]
    assert "slow may ask 0.01 times a second" in answers[-1].json()["detail"]
    assert answers[-1].status == 429
    assert 1 <= int(answers[-1].headers["Retry-After"]) <= 100


def test_a_key_is_rotated_while_the_gateway_runs(client: HttpClient, keys_file: Path) -> None:
    old, new = KEYS["rotated"], made("rotated", Scope.READ)
    before = keys_file.read_text()
    client("GET", "/v1/apis", status=401, x_api_key=new.key)

    keys_file.write_text(before + entry_text(new.entry))
    eventually(lambda: _status(client, new.key) == 200)
    assert _status(client, old.key) == 200, "both, until clients have the new one"

    streamed = {"headers": {"X-API-Key": old.key}, "preload_content": False}
    with closing(ask("GET", f"{client.url}/v1/events", **streamed)) as events:
        following = events.stream(1)
        assert next(following) == b":"
        keys_file.write_text((before + entry_text(new.entry)).replace(entry_text(old.entry), ""))
        eventually(lambda: _status(client, old.key) == 401)
        list(following)  # to its end: without one this times out
    eventually(lambda: _status(client, new.key) == 200)  # a look at a file that is being written lets nobody in

    keys_file.write_text(before)
    eventually(lambda: _status(client, old.key) == 200)


def _status(client: HttpClient, key: str) -> int:
    return int(ask("GET", f"{client.url}/v1/apis", headers={"X-API-Key": key}).status)


def test_the_commands_client_sends_the_key(client: HttpClient) -> None:
    with pytest.raises(UsageError, match="STREAM_INFER_API_KEY"):
        Gateway(client.url).ask(calls.apis())
    assert [api.name for api in Gateway(client.url, KEYS["reader"].key).ask(calls.apis())] == ["echo"]
    with pytest.raises(UsageError, match="scope submit"):
        Gateway(client.url, KEYS["reader"].key).ask(calls.submit("echo", ONE, "k"))
    for _ in range(2):
        ask("GET", f"{client.url}/v1/apis", headers=bearer("slow"))
    with pytest.raises(ServiceUnavailable, match="Come again"):
        Gateway(client.url, KEYS["slow"].key, retries=Retries(tries=1)).ask(calls.apis())


def test_boto3_sends_it_as_its_session_token(client: HttpClient) -> None:
    def sagemaker(key: str) -> Any:
        credentials = {"aws_access_key_id": "any", "aws_secret_access_key": "any", "aws_session_token": key}
        config = Config(retries={"max_attempts": 0})
        return boto3.client("sagemaker", endpoint_url=client.url, region_name="local", config=config, **credentials)

    with pytest.raises(ClientError, match="ResourceNotFound"):
        sagemaker(KEYS["reader"].key).describe_transform_job(TransformJobName="none")
    with pytest.raises(ClientError, match=r"AccessDenied"):
        sagemaker(KEYS["reader"].key).stop_transform_job(TransformJobName="none")
    with pytest.raises(ClientError, match="UnrecognizedClient"):
        sagemaker("wrong").describe_transform_job(TransformJobName="none")


def sagemaker_of(client: HttpClient, entry: KeyEntry, **changed: Any) -> Any:
    keys = {"aws_access_key_id": entry.access_key, "aws_secret_access_key": entry.aws_secret, **changed}
    config = Config(retries={"total_max_attempts": 1})
    return boto3.client("sagemaker", endpoint_url=client.url, region_name="eu-central-1", config=config, **keys)


def test_boto3_signs_with_a_key_of_its_own(client: HttpClient, keys_file: Path) -> None:
    signing = sagemaker_of(client, SIGNING["signing"])
    assert signing.list_transform_jobs()["TransformJobSummaries"] == []
    signing.create_model(ModelName="echo")
    signing.delete_model(ModelName="echo")
    looking = sagemaker_of(client, SIGNING["looking"])
    assert [one["ModelName"] for one in looking.list_models()["Models"]] == ["echo"]
    with pytest.raises(ClientError, match=r"AccessDeniedException.*scope submit.*of looking has read"):
        looking.create_model(ModelName="echo")
    for changed, code in (
        ({"aws_secret_access_key": "x" * 40}, "InvalidSignatureException"),
        ({"aws_access_key_id": "AKIDEXAMPLE"}, "UnrecognizedClientException"),
        ({"aws_session_token": "wrong"}, "UnrecognizedClientException"),
    ):
        with pytest.raises(ClientError, match=code):
            sagemaker_of(client, SIGNING["signing"], **changed).list_models()
    # Only there: everything else has bodies of any length, and keys that can be sent.
    headers = {"Authorization": "AWS4-HMAC-SHA256 Credential=x"}
    assert ask("GET", f"{client.url}/v1/jobs", headers=headers).status == 401

    before = keys_file.read_text()
    keys_file.write_text(before.replace(entry_text(SIGNING["signing"]), ""))
    eventually(lambda: _is_refused(signing))
    keys_file.write_text(before)
    eventually(lambda: not _is_refused(signing))


def _is_refused(sagemaker: Any) -> bool:
    try:
        sagemaker.list_models()
    except ClientError as error:
        return bool(error.response["Error"]["Code"] == "UnrecognizedClientException")
    return False


def test_a_clock_that_is_wrong_is_said(client: HttpClient, monkeypatch: pytest.MonkeyPatch) -> None:
    signing = sagemaker_of(client, SIGNING["signing"])
    for apart, said in ((timedelta(minutes=-16), "Signature expired"), (timedelta(minutes=16), "not yet current")):
        there = datetime.now(UTC).replace(tzinfo=None) + apart
        monkeypatch.setattr("botocore.auth.get_current_datetime", lambda there=there: there)
        with pytest.raises(ClientError, match=f"InvalidSignatureException.*{said}"):
            signing.list_models()


# Clients that mean ill.


def test_json_that_is_too_deep_or_unpacks_to_too_much_is_refused(client: HttpClient) -> None:
    deep = b'{"item_list":{"items":[' + b"[" * 9000 + b"]" * 9000 + b"]}}"
    headers = {"content_type": "application/json", **bearer("submitter")}
    client("POST", SUBMIT, raw=deep, status=400, **headers)
    client(
        "POST",
        "/v1/apis/echo/items",
        raw=b"[" * 450 + b"]" * 450,
        status=202,
        content_type=NDJSON,
        **bearer("submitter"),
    )
    client("POST", "/v1/apis/echo/items", raw=b"[" * 990, status=400, content_type=NDJSON, **bearer("submitter"))

    bomb = gzip.compress(b"1" * 200_000_000)
    assert len(bomb) < 250_000
    began, before = time.monotonic(), _resident_bytes()
    for path, kind, status in (
        (SUBMIT, "application/json", 413),
        ("/v1/apis/echo/items", NDJSON, 413),
        ("/echo", "application/json", 413),
    ):
        sent = {"content-type": kind, "content-encoding": "gzip", **bearer("submitter")}
        answer = ask("POST", client.url + path, body=bomb, headers=sent)
        assert answer.status == status, answer.data
    assert time.monotonic() - began < 60
    assert _resident_bytes() - before < 100_000_000


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize("end", ["\r\n", "\n", "\r", "\0"])
def test_what_a_client_says_makes_no_header_of_an_answer(client: HttpClient, end: str) -> None:
    """By the query, the body and headers, as far as they can carry a line's end at all."""
    evil = f"x{end}Set-Cookie: a=b"
    answers = [
        ask("GET", f"{client.url}/v1/jobs/{quote(evil)}", headers=bearer("reader")),
        ask("GET", f"{client.url}/v1/jobs", fields={"after": evil}, headers=bearer("reader")),
        ask("POST", client.url + SUBMIT, json={"item_list": evil}, headers=bearer("submitter")),
        ask(
            "POST", f"{client.url}/v1/uploads?{urlencode({'name': evil})}", body=b"1",
            headers={"content-type": "application/octet-stream", **bearer("submitter")},
        ),
    ]  # fmt: skip
    for answer in answers:
        assert "set-cookie" not in answer.headers
    raw = _raw(
        client, f"GET /v1/jobs HTTP/1.1\r\nHost: x\r\nX-API-Key: a{end}Set-Cookie: a=b\r\nConnection: close\r\n\r\n"
    )
    assert b"set-cookie" not in raw.lower().partition(b"\r\n\r\n")[0]
    assert raw[8:13] in (b" 401 ", b" 400 ")


@pytest.mark.parametrize(
    "head",
    [
        "Content-Length: 2\r\nContent-Length: 3",
        "Content-Length: 2\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked, identity",
        "Content-Length: -1",
        "Content-Length: +2",
        "Host : x",
        "X" * 20_000 + ": 1",
    ],
)
def test_a_request_of_two_lengths_is_none(client: HttpClient, head: str) -> None:
    """Where a proxy and we read its end differently, what follows would be somebody else's request."""
    text = f"POST {SUBMIT} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n{head}\r\n\r\n{{}}"
    assert _raw(client, text)[8:13] == b" 400 "


def _raw(client: HttpClient, text: str) -> bytes:
    host, port = client.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), 10) as connection:
        connection.sendall(text.encode("latin-1"))
        read = b""
        while b"\r\n\r\n" not in read and (more := connection.recv(65536)):
            read += more
        return read


def test_a_head_that_never_ends_is_not_waited_for(harness: GatewayHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening_module, "IDLE_S", 0.5)
    with harness.gateway() as client:
        host, port = client.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), 10) as connection:
            connection.sendall(b"GET /healthz HTTP/1.1\r\n")
            for _ in range(20):
                try:
                    connection.sendall(b"X-A: b\r\n")
                except OSError:
                    break
                time.sleep(0.1)
            assert _has_ended(connection)


def _has_ended(connection: socket.socket) -> bool:
    try:
        return connection.recv(100) == b""
    except ConnectionError:
        return True


def test_a_body_that_never_ends_is_not_waited_for(client: HttpClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "SILENCE_S", 0.3)
    key = KEYS["submitter"].key
    for path, kind in ((SUBMIT, "application/json"), ("/v1/apis/echo/items", NDJSON), ("/echo", "application/json")):
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: {kind}\r\nX-API-Key: {key}\r\nContent-Length: 100"
        assert _raw(client, f"{head}\r\n\r\n{{").startswith(b"HTTP/1.1 408"), path


def test_without_keys_a_page_whose_name_leads_here_is_not_answered(harness: GatewayHarness) -> None:
    gateway = GatewaySettings(listen="127.0.0.1:0", public_url="https://infer.example")
    with harness.gateway(harness.settings.model_copy(update={"gateway": gateway})) as client:
        for host, status in (("rebound.example:8080", 403), ("infer.example", 200), ("localhost:1", 200)):
            assert ask("GET", f"{client.url}/v1/jobs", headers={"Host": host}).status == status, host


# TLS.


@pytest.fixture(scope="module")
def authority(folder: Path) -> Authority:
    return Authority(folder)


def encrypted(settings: Settings, certificate: Path, private_key: Path) -> Settings:
    tls = {"certificate_file": certificate, "private_key_file": private_key}
    return Settings.model_validate(
        settings.model_dump(mode="json") | {"gateway": settings.gateway.model_dump(mode="json") | {"tls": tls}}
    )


def test_a_certificate_that_is_renewed_is_shown_to_the_next_client(
    harness: GatewayHarness, authority: Authority
) -> None:
    used = authority.issue("used")
    first, second = used.certificate.read_bytes(), authority.issue("renewed")
    settings = encrypted(harness.settings, used.certificate, used.private_key)
    with harness.gateway(settings) as client:
        assert client.url.startswith("https://")
        assert _shown(client.url, authority) == "used"

        used.certificate.write_bytes(second.certificate.read_bytes())
        used.private_key.write_bytes(second.private_key.read_bytes())
        eventually(lambda: _shown(client.url, authority) == "renewed")
        assert used.certificate.read_bytes() != first

        with urllib3.PoolManager(ca_certs=str(authority.file)) as pool:
            assert pool.request("GET", f"{client.url}/v1/apis", headers=bearer("reader")).status == 200
        with (
            closing(Gateway(client.url, KEYS["reader"].key, retries=Retries(tries=1))) as stranger,
            pytest.raises(ServiceUnavailable, match="certificate"),
        ):
            stranger.ask(calls.apis())


def _shown(url: str, authority: Authority) -> str:
    """The common name in the certificate that a new connection is shown."""
    host, port = url.removeprefix("https://").split(":")
    context = ssl.create_default_context(cafile=authority.file)
    with (
        socket.create_connection((host, int(port)), 10) as connection,
        context.wrap_socket(connection, server_hostname=host) as wrapped,
    ):
        subject = cast(Any, wrapped.getpeercert())["subject"]
        return str(dict(pair for part in subject for pair in part)["commonName"])


def test_a_command_takes_key_and_authority_from_its_environment(
    harness: GatewayHarness, authority: Authority, tmp_path: Path
) -> None:
    pair = authority.issue("command")
    config = tmp_path / "stream-infer.yaml"
    settings = encrypted(harness.settings, pair.certificate, pair.private_key)
    config.write_text(yaml.safe_dump(settings.model_dump(mode="json", exclude_unset=True)))
    with harness.gateway(settings) as client:
        command = [sys.executable, "-m", "stream_infer", "-f", str(config)]
        get = ["get", "--gateway", client.url, "-o", "json"]
        environ = {**os.environ, "SSL_CERT_FILE": str(authority.file), "STREAM_INFER_API_KEY": KEYS["reader"].key}
        told = subprocess.run([*command, *get], env=environ, capture_output=True, text=True, timeout=60, check=False)
        assert told.returncode == 0, told.stderr
        assert "jobs" in json.loads(told.stdout)

        (tmp_path / "key").write_text(KEYS["reader"].key + "\n")
        del environ["STREAM_INFER_API_KEY"]
        with_file = [*command, "--key-file", str(tmp_path / "key"), *get]
        assert subprocess.run(with_file, env=environ, capture_output=True, timeout=60, check=False).returncode == 0
        told = subprocess.run([*command, *get], env=environ, capture_output=True, text=True, timeout=60, check=False)
        assert (told.returncode, "API key" in told.stderr) == (2, True)


# Requests that are passed on.


def test_a_replica_asks_for_the_key_that_the_gateway_passes_on(
    harness: GatewayHarness, tmp_path: Path, keys_file: Path
) -> None:
    gateway = GatewaySettings(listen="127.0.0.1:0", api_keys_file=keys_file)
    alone = realtime_settings(tmp_path, "behaving.py:Echo").model_copy(update={"gateway": gateway})
    with replica(alone) as one:
        assert one.ask(b"1").status == 401
        assert one.ask(b"1", **bearer("reader")).status == 403
        assert one.ask(b"1", **bearer("submitter")).status == 200
        assert one.ask(b"1" * 100_000).status == 401
        assert one.ask(b"1" * 100_000, **bearer("small")).status == 413

        realtime = RealtimeSettings(addresses=[one.url])
        api = harness.settings.apis[0].model_copy(update={"realtime": realtime, "predictor": alone.apis[0].predictor})
        with harness.gateway(harness.settings.model_copy(update={"apis": [api]})) as client:
            path = "/v1/apis/echo/predict"
            eventually(lambda: _asked_for(client, path, "submitter") == 200)
            assert _asked_for(client, path, "reader") == 403
            assert _asked_for(client, path, None) == 401


def _asked_for(client: HttpClient, path: str, name: str | None) -> int:
    headers = {"content-type": "application/json"} | ({} if name is None else bearer(name))
    return int(ask("POST", client.url + path, body=b"1", headers=headers).status)


@contextmanager
def half_sent(client: HttpClient, name: str, size: int, path: str) -> Iterator[socket.socket]:
    """A request of that caller's, whose body lacks its last byte."""
    address = urlsplit(client.url)
    content_type = "application/json" if path == SUBMIT else "application/octet-stream"
    with socket.create_connection((str(address.hostname), int(address.port or 0))) as sending:
        head = f"POST {path} HTTP/1.1\r\nhost: {address.netloc}\r\ncontent-type: {content_type}\r\n"
        head += f"x-api-key: {KEYS[name].key}\r\ncontent-length: {size + 1}\r\n\r\n"
        sending.sendall(head.encode() + b" " * size)
        yield sending


@contextmanager
def holding(
    client: HttpClient, name: str, size: int, refuses: Callable[[], bool], path: str = SUBMIT
) -> Iterator[socket.socket]:
    """Half a request that has what `refuses` asks for in vain. Whoever comes first has it, and the one who asks has a
    connection already: where it does, this one is refused, and sent again."""
    with ExitStack() as stack:
        held: list[socket.socket] = []

        def is_held() -> bool:
            stack.close()
            held[:] = [stack.enter_context(half_sent(client, name, size, path))]
            return any(refuses() for _ in range(5))

        eventually(is_held)
        yield held[0]


def test_bodies_have_a_budget_that_no_caller_holds_alone(harness: GatewayHarness) -> None:
    limits = {"request_bytes": 20_000, "bodies_bytes": 39_000, "caller_bodies_bytes": 30_000}
    settings = Settings.model_validate(harness.settings.model_dump() | {"limits": limits})

    with harness.gateway(settings) as client:

        def submit(name: str) -> Any:
            headers = {"content-type": "application/json", **bearer(name)}
            size = KEYS[name].entry.request_bytes or 15_000
            return ask("POST", client.url + SUBMIT, body=json.dumps(ONE).encode().ljust(size), headers=headers)

        with holding(client, "submitter", 19_000, lambda: submit("submitter").status == 503):
            refused = submit("submitter")
            assert refused.headers["content-type"] == "application/problem+json"
            assert int(refused.headers["retry-after"]) > 0
            assert "submitter has bodies of 19000 bytes" in refused.json()["detail"]
            assert submit("both").status == 202
            with holding(client, "both", 19_000, lambda: submit("small").status == 503):
                assert "limits.bodies_bytes" in submit("small").json()["detail"]
        eventually(lambda: submit("submitter").status == 202)  # who left has given back what they held
        assert submit("small").status == 202


def test_a_caller_leaves_a_place_for_uploads_to_others(harness: GatewayHarness) -> None:
    settings = Settings.model_validate(harness.settings.model_dump() | {"limits": {"uploads": 2}})

    def sent(name: str) -> int:
        headers = {"content-type": "application/octet-stream", **bearer(name)}
        return int(ask("POST", f"{client.url}/v1/uploads", body=b"x", headers=headers).status)

    with (
        harness.gateway(settings) as client,
        holding(client, "submitter", 10, lambda: sent("submitter") == 503, "/v1/uploads") as first,
    ):
        assert sent("both") == 201
        first.sendall(b" ")
        assert first.recv(100).startswith(b"HTTP/1.1 201")
        assert sent("submitter") == 201
