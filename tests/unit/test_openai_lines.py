import json
import random
from typing import Any

import pytest

from stream_infer.gateway.openai.lines import MOST_REQUESTS, Findings, LineChecker, is_endpoint

CHAT = "/v1/chat/completions"


def request(number: int, **changed: Any) -> dict[str, Any]:
    return {"custom_id": f"r-{number}", "method": "POST", "url": CHAT, "body": {"model": "echo"}} | changed


def found(*lines: Any, limit: int = 1000, size: int = 1 << 20) -> Findings:
    """In pieces of `size` bytes."""
    data = b"".join((line if isinstance(line, bytes) else json.dumps(line).encode()) + b"\n" for line in lines)
    return found_in(data, limit, size)


def found_in(data: bytes, limit: int = 1000, size: int = 1 << 20) -> Findings:
    checker = LineChecker(limit)
    for start in range(0, len(data), size):
        checker.take(data[start : start + size])
    return checker.findings()


def test_a_good_file_says_how_many_go_where() -> None:
    assert found(request(1), b"", b"  ", request(2)) == Findings(requests=2, first=1, url=CHAT, api="echo")
    assert found_in(b"\xef\xbb\xbf" + json.dumps(request(1)).encode()).errors == ()
    assert found_in(json.dumps(request(1)).encode() + b"\r\n\r\n").requests == 1


@pytest.mark.parametrize("size", [1, 2, 7, 100, 999])
def test_it_does_not_matter_where_the_pieces_end(size: int) -> None:
    lines = [request(n, custom_id=f"é-{n}") for n in range(20)]
    lines[7] = request(7, body={"model": "echo", "text": "x" * 2000})
    whole = found(*lines, b"{broken", request(21))
    assert found(*lines, b"{broken", request(21), size=size) == whole
    assert [(one.line, one.code) for one in whole.errors] == [(8, "line_too_long"), (21, "invalid_json_line")]
    assert whole.requests == 22


def test_a_line_is_as_long_as_it_may_be_and_no_longer() -> None:
    line = json.dumps(request(1)).encode()
    for end in (b"", b"\n", b"\r\n"):
        assert found_in(line + end, limit=len(line)).errors == ()
        [error] = found_in(line + end, limit=len(line) - 1).errors
        assert (error.code, error.line) == ("line_too_long", 1)
    [error] = found_in(b"x" * 5000, limit=100, size=64).errors
    assert error.code == "line_too_long"


@pytest.mark.parametrize(
    ("line", "code", "param"),
    [
        (b"nothing", "invalid_json_line", None),
        (b'{"custom_id": NaN}', "invalid_json_line", None),
        (b"\xff\xfe", "invalid_json_line", None),
        (b"[]", "invalid_json_line", None),
        (b"{}", "missing_required_parameter", "custom_id"),
        (request(1, custom_id=""), "invalid_custom_id", "custom_id"),
        (request(1, custom_id="x" * 513), "invalid_custom_id", "custom_id"),
        (request(1, custom_id=None), "invalid_custom_id", "custom_id"),
        (request(1, method="post"), "invalid_method", "method"),
        (request(1, url="/v1/chat/completion"), "invalid_url", "url"),
        (request(1, url=["/v1/chat"]), "invalid_url", "url"),
        (request(1, url="/v1/apis/../predict"), "invalid_url", "url"),
        (request(1, body="text"), "invalid_body", "body"),
        (request(1, body={"model": 7}), "missing_required_parameter", "body.model"),
    ],
)
def test_what_is_wrong_with_a_line_is_told_with_its_number(line: Any, code: str, param: str | None) -> None:
    findings = found(request(0), line, request(2))
    [error] = findings.errors
    assert (error.line, error.code, error.param) == (2, code, param)
    assert len(error.message) < 300
    assert findings.requests == 3


def test_all_requests_of_a_file_go_to_one_place_and_have_names_of_their_own() -> None:
    findings = found(
        request(1), request(1), request(3, body={"model": "other"}), request(4, url="/v1/embeddings"), request(5)
    )
    assert [(one.line, one.code) for one in findings.errors] == [
        (2, "duplicate_custom_id"),
        (3, "mismatched_model"),
        (4, "mismatched_url"),
    ]
    # The first good line says where to.
    assert found(request(1, url="/v1/typo"), request(2)).first == 2


def test_our_own_path_names_the_api_whatever_its_body() -> None:
    own = "/v1/apis/echo/predict"
    for body in (1, "text", None, [], {"model": "the predictor's own business"}):
        assert found(request(1, url=own, body=body)) == Findings(requests=1, first=1, url=own, api="echo")
    assert is_endpoint(own) and is_endpoint(CHAT)
    assert not is_endpoint("/v1/apis/echo/jobs") and not is_endpoint("/v1/audio")


def test_of_many_errors_the_first_are_told_and_how_many_there_are_beyond() -> None:
    findings = found(*(b"{" for _ in range(70)))
    assert [one.line for one in findings.errors[:50]] == list(range(1, 51))
    assert (findings.errors[50].code, findings.errors[50].message) == ("more_errors", "20 more lines are wrong.")


def test_a_file_has_requests_and_not_too_many() -> None:
    for data in (b"", b"\n\n", b" \n"):
        assert [one.code for one in found_in(data).errors] == ["empty_file"]
    most = b"".join(
        b'{"custom_id":"%d","method":"POST","url":"/v1/embeddings","body":{"model":"echo"}}\n' % n
        for n in range(MOST_REQUESTS)
    )
    assert found_in(most).errors == ()
    more = found_in(most + json.dumps(request(1, custom_id="one more", url="/v1/embeddings")).encode())
    assert [one.code for one in more.errors] == ["too_many_requests"]
    assert str(MOST_REQUESTS + 1) in more.errors[0].message


def test_whatever_is_sent_is_found_to_be_something() -> None:
    rng = random.Random(7)
    good = json.dumps(request(1)).encode()
    for _ in range(500):
        data = bytearray(good * 3)
        for _ in range(rng.randrange(1, 8)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        findings = found_in(bytes(data), size=rng.randrange(1, 60))
        assert findings.errors or findings.requests
