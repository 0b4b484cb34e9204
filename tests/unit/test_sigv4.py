"""Signatures of AWS's clients: botocore signs, and the gate lets in or says why not."""

import asyncio
import hashlib
import time
from datetime import UTC, datetime
from io import BytesIO
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from multidict import CIMultiDict
from structlog.testing import capture_logs

from stream_infer.gateway.gate import gate_of, guarding
from stream_infer.http.aws_signer import SignedRequest, require_right
from stream_infer.http.bodies import read_body, within
from stream_infer.http.budget import UNPROVEN_BYTES, UNPROVEN_ROOM, BodyBudget
from stream_infer.http.callers import CALLER, Caller, caller_of
from stream_infer.http.keys import KeyEntry, KeyRing, Scope, for_aws, new_key
from stream_infer.http.problems import Problem, ProblemKind
from stream_infer.http.reloading import Reloading
from stream_infer.http.sigv4 import read_signature, require_place_and_time
from stream_infer.settings import MIB

BODY = b'{"TransformJobName": "a"}'
AT = datetime(2026, 11, 23, 1, 2, 3, tzinfo=UTC)
# Computed once by hand, by the recipe of AWS's documentation, with Python's hmac alone: see `by_the_recipe`.
SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"


def aws_entry(*scopes: Scope, **changed: Any) -> KeyEntry:
    return for_aws(new_key("nightly", scopes or (Scope.READ, Scope.SUBMIT)).entry).model_copy(update=changed)


def signed(
    entry: KeyEntry, body: bytes = BODY, *, service: str = "sagemaker", region: str = "eu-central-1", **headers: str
) -> dict[str, str]:
    """The headers that boto3 would send."""
    named = {
        "Host": "gateway:8080",
        "Content-Type": "application/x-amz-json-1.1",
        "X-Amz-Target": "SageMaker.ListModels",
    }
    named |= {name.replace("_", "-"): value for name, value in headers.items()}
    request = AWSRequest("POST", "http://gateway:8080/", headers=named, data=body)
    SigV4Auth(Credentials(entry.access_key, entry.aws_secret), service, region).add_auth(request)
    return dict(request.headers.items())


def checked(entry: KeyEntry, headers: dict[str, str], body: bytes = BODY, *, target: str = "/", at: float = 0) -> None:
    said = CIMultiDict(headers)
    signature = read_signature(said)
    require_place_and_time(signature, "sagemaker", at or time.time())
    assert entry.aws_secret is not None
    require_right(signature, entry.aws_secret, SignedRequest("POST", target, said, body))


def refusal(entry: KeyEntry, headers: dict[str, str], body: bytes = BODY, **more: Any) -> Problem:
    with pytest.raises(Problem) as caught:
        checked(entry, headers, body, **more)
    return caught.value


def by_the_recipe(secret: str, region: str, body: bytes, date: str) -> str:
    """docs.aws.amazon.com, "Create a signed AWS API request", steps 1 to 4, for one request, without botocore."""
    import hmac

    def mac(key: bytes, text: str) -> bytes:
        return hmac.new(key, text.encode(), hashlib.sha256).digest()

    scope = f"{date[:8]}/{region}/sagemaker/aws4_request"
    headers = f"host:gateway:8080\nx-amz-date:{date}\n"
    canonical = f"POST\n/\n\n{headers}\nhost;x-amz-date\n{hashlib.sha256(body).hexdigest()}"
    text = f"AWS4-HMAC-SHA256\n{date}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    key = f"AWS4{secret}".encode()
    for part in (date[:8], region, "sagemaker", "aws4_request"):
        key = mac(key, part)
    return mac(key, text).hex()


def test_a_request_that_is_signed_by_the_recipe_is_right():
    entry, date = aws_entry(aws_secret=SECRET), "20261123T010203Z"
    digest = by_the_recipe(SECRET, "us-east-1", BODY, date)
    scope = f"{entry.access_key}/20261123/us-east-1/sagemaker/aws4_request"
    said = f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host;x-amz-date, Signature="
    headers = {"host": "gateway:8080", "x-amz-date": date, "user-agent": "any"}

    checked(entry, {**headers, "authorization": said + digest}, at=AT.timestamp())

    wrong = refusal(entry, {**headers, "authorization": said + "0" * 64}, at=AT.timestamp())
    assert wrong.kind is ProblemKind.WRONG_SIGNATURE
    assert "does not match the signature you provided" in wrong.document.detail


def test_what_a_client_of_another_language_signs_beside_counts_too():
    """Java's signs its User-Agent, which botocore would leave out."""
    entry, date = aws_entry(), "20261123T010203Z"
    headers = {"host": "g", "x-amz-date": date, "user-agent": "aws-sdk-java/1.12"}
    signer = SigV4Auth(Credentials(entry.access_key, entry.aws_secret), "sagemaker", "us-east-1")
    signer.headers_to_sign = lambda request: request.headers
    request = AWSRequest("POST", "http://g/", headers=headers, data=BODY)
    request.context["timestamp"] = date
    digest = signer.signature(signer.string_to_sign(request, signer.canonical_request(request)), request)
    names = "host;user-agent;x-amz-date"
    said = f"AWS4-HMAC-SHA256 Credential={signer.scope(request)},SignedHeaders={names},Signature={digest}"

    checked(entry, {**headers, "Authorization": said}, at=AT.timestamp())
    changed = {**headers, "user-agent": "another", "Authorization": said}
    assert refusal(entry, changed, at=AT.timestamp()).kind is ProblemKind.WRONG_SIGNATURE


def test_what_is_changed_on_its_way_is_found():
    entry = aws_entry()
    headers = signed(entry)
    checked(entry, headers)

    assert "does not match" in refusal(entry, headers, BODY + b" ").document.detail
    assert "does not match" in refusal(entry, headers, target="/?a=1").document.detail
    assert "does not match" in refusal(entry, headers | {"X-Amz-Target": "SageMaker.DeleteModel"}).document.detail
    assert "does not match" in refusal(aws_entry(id=entry.id), headers).document.detail
    assert "leaves out x-amz-evil" in refusal(entry, headers | {"X-Amz-Evil": "1"}).document.detail
    unsigned = headers | {"Authorization": headers["Authorization"].replace(";x-amz-target", "")}
    assert "leaves out x-amz-target" in refusal(entry, unsigned).document.detail


def test_the_hash_of_a_body_that_is_said_is_the_bodys():
    entry = aws_entry()
    checked(entry, signed(entry, X_Amz_Content_SHA256=hashlib.sha256(BODY).hexdigest()))
    for other in ("UNSIGNED-PAYLOAD", hashlib.sha256(b"other").hexdigest()):
        wrong = refusal(entry, signed(entry, X_Amz_Content_SHA256=other))
        assert "X-Amz-Content-SHA256 is not the SHA-256 of the body" in wrong.document.detail


def test_a_signature_is_of_one_service_and_of_15_minutes():
    entry = aws_entry()
    assert "scoped to the service 's3'" in refusal(entry, signed(entry, service="s3")).document.detail
    now, headers = time.time(), signed(entry)  # of a whole second, and perhaps of the next one
    for apart_s, said in ((905, "Signature expired"), (-905, "Signature not yet current")):
        assert said in refusal(entry, headers, at=now + apart_s).document.detail
    for apart_s in (880, -880):
        checked(entry, headers, at=now + apart_s)


@pytest.mark.parametrize(
    "authorization",
    [
        "AWS4-HMAC-SHA256",
        "AWS4-HMAC-SHA256 Credential=a/20261123/r/sagemaker/aws4_request",
        "AWS4-HMAC-SHA256 Credential=a/20261123/r/sagemaker/aws5_request, SignedHeaders=host, Signature=" + "0" * 64,
        "AWS4-ECDSA-P256-SHA256 Credential=a/20261123/sagemaker/aws4_request, SignedHeaders=host, Signature=00",
        "AWS4-HMAC-SHA256 Credential=a/20261123/r/sagemaker/aws4_request, SignedHeaders=host, Signature=0g",
    ],
)
def test_what_is_no_signature_is_incomplete(authorization: str):
    headers = {"Authorization": authorization, "X-Amz-Date": "20261123T010203Z"}
    assert refusal(aws_entry(), headers).kind is ProblemKind.INCOMPLETE_SIGNATURE


def test_a_date_that_is_none_or_another_than_the_scopes_is_refused():
    entry = aws_entry()
    headers = signed(entry)
    for date in ("", "yesterday", "2026-11-23T01:02:03Z"):
        assert refusal(entry, headers | {"X-Amz-Date": date}).kind is ProblemKind.INCOMPLETE_SIGNATURE
    assert "Credential is of the day" in refusal(entry, headers | {"X-Amz-Date": "20200101T000000Z"}).document.detail


def test_a_signed_header_that_is_not_ascii_is_refused():
    entry = aws_entry()
    headers = signed(entry, X_Amz_Note="e") | {"X-Amz-Note": "\udcff"}
    assert "x-amz-note is signed, and not ASCII" in refusal(entry, headers).document.detail


# The gate.


@pytest.fixture
def ring() -> list[KeyEntry]:
    return [aws_entry(), aws_entry(Scope.READ, name="reader")]


def post(ring: list[KeyEntry], *asked: tuple[dict[str, str], bytes], around: Any = None) -> list[tuple[int, Any]]:
    """What a gateway of those keys answers to each; one that is let in is told what has come of it."""

    async def handle(request: web.Request) -> web.Response:
        caller = caller_of(request)
        return web.json_response(
            {"caller": caller.name, "id": caller.key_id, "body": (await read_body(request)).decode()}
        )

    async def go() -> list[tuple[int, Any]]:
        gate = guarding(gate_of(Reloading("keys", [], lambda: KeyRing(ring)), 2.0))
        app = web.Application(middlewares=[gate] if around is None else [around, gate])
        app.router.add_post("/", handle)
        answers = []
        async with TestClient(TestServer(app)) as client:
            for headers, body in asked:
                async with client.post("/", headers=headers, data=BytesIO(body)) as answer:
                    answers.append((answer.status, await answer.json(content_type=None)))
        return answers

    return asyncio.run(go())


def test_who_signs_is_let_in_by_name_with_the_whole_body(ring: list[KeyEntry]):
    [(status, told)] = post(ring, (signed(ring[0]), BODY))
    assert (status, told) == (200, {"caller": "nightly", "id": ring[0].id, "body": BODY.decode()})


def test_the_gate_refuses_in_the_words_of_aws_and_tells_no_secret(ring: list[KeyEntry]):
    stranger, plain = aws_entry(), new_key("plain", [Scope.ADMIN])
    expired = aws_entry(expires=datetime(2020, 1, 1, tzinfo=UTC))
    stop = {"X_Amz_Target": "SageMaker.StopTransformJob"}
    swapped = aws_entry().model_copy(update={"aws_secret": ring[0].access_key})
    headers = signed(ring[0])
    cases = [
        (signed(stranger), BODY, "UnrecognizedClientException"),
        (signed(swapped), BODY, "UnrecognizedClientException"),
        (signed(expired), BODY, "UnrecognizedClientException"),
        (headers | {"X-Amz-Date": "2"}, BODY, "IncompleteSignatureException"),
        (headers, b"{}", "InvalidSignatureException"),
        (signed(ring[1], **stop), BODY, "AccessDeniedException"),
        # A key beside the signature is what counts, as ever.
        (headers | {"X-Amz-Security-Token": "wrong"}, BODY, "UnrecognizedClientException"),
    ]
    with capture_logs() as lines:
        answers = post([*ring, expired, plain.entry], *((headers, body) for headers, body, _ in cases))
    assert [told["__type"] for _, told in answers] == [kind for *_, kind in cases]
    assert all(status == 400 for status, _ in answers)
    said = str(lines) + str(answers)
    for entry in (*ring, stranger, expired):
        assert entry.aws_secret not in said


def test_what_a_forger_asks_is_not_logged_as_the_callers(ring: list[KeyEntry]):
    """Who knows a key's id, which stands in logs, could else be read there as its owner."""
    seen: list[Any] = []

    @web.middleware
    async def look(request: web.Request, handler: Any) -> web.StreamResponse:
        try:
            return await handler(request)
        finally:
            seen.append(request.get(CALLER))

    post(ring, (signed(for_aws(ring[0])), BODY), (signed(ring[0]), BODY), around=look)
    assert [caller and caller.key_id for caller in seen] == [None, ring[0].id]


def test_a_key_with_a_hash_signs_nothing_and_one_that_signs_is_sent_by_nobody(ring: list[KeyEntry]):
    entry = ring[0]
    for sent in (entry.aws_secret, f"si_{entry.id}_{entry.aws_secret}"):
        [(status, told)] = post(ring, ({"X-API-Key": str(sent)}, BODY))
        assert (status, told["__type"]) == (400, "UnrecognizedClientException")


def test_who_signs_has_turns_like_anybody_and_a_forger_takes_none():
    entry = aws_entry(requests_per_second=0.01, burst=2)
    forged = signed(for_aws(entry))
    answers = post([entry], *[(forged, BODY)] * 4, *[(signed(entry), BODY)] * 3)
    assert [status for status, _ in answers[4:6]] == [200, 200]
    assert answers[6][1]["__type"] == "ThrottlingException"


def test_who_knows_but_a_keys_id_fills_no_room_of_its_callers(ring: list[KeyEntry]):
    """The signature is over the body: until that is read it may be anybody's."""
    budget, nightly = BodyBudget(most=100 * MIB, share=20 * MIB), Caller("nightly", ring[0].id)
    rooms: list[dict[str, int]] = []

    @web.middleware
    async def look(request: web.Request, handler: Any) -> web.StreamResponse:
        try:
            return await within(budget)(request, handler)
        finally:
            rooms.append(dict(budget.of))

    forged, right = (signed(for_aws(ring[0])), BODY), (signed(ring[0]), BODY)

    # The caller's own room is full: who asks in its name alone does not so much as look at it.
    own = budget.hold(nightly)
    own.take(20 * MIB)
    (_, told), (status, refused) = post(ring, forged, right, around=look)
    assert told["__type"] == "InvalidSignatureException"
    assert (status, refused["__type"]) == (503, "ServiceUnavailable")
    assert "nightly has bodies of 20971520 bytes" in refused["message"]
    assert rooms == [{"nightly": 20 * MIB}] * 2

    # Others have filled that of who has not proved to be it.
    own.release()
    budget.hold_unproven(nightly).take(UNPROVEN_ROOM)
    other = aws_entry(name="other")
    (status, refused), (_, told) = post([*ring, other], right, (signed(other), BODY), around=look)
    assert (status, refused["__type"]) == (503, "ServiceUnavailable")
    assert "is said to have signed" in refused["message"]
    assert told["caller"] == "other"
    budget.hold(nightly).take(20 * MIB)


def test_a_signed_body_is_small(ring: list[KeyEntry]):
    large = b" " * (UNPROVEN_BYTES + 1)
    [(status, told)] = post(ring, (signed(ring[0], body=large), large))
    assert (status, told["__type"]) == (400, "ValidationException")
    assert told["message"] == "The body has more than 1048576 bytes, which is the most of a signed request."
