"""A request to an item, without a connection."""

import asyncio

from stream_infer.engine.requests import unpack_request
from stream_infer.http.keys import KeyRing, Scope, new_key
from stream_infer.http.reloading import Reloading
from stream_infer.realtime.answering import Answering, Terms
from stream_infer.realtime.desk import Bounds, Desk
from stream_infer.realtime.messages import Request
from stream_infer.records import JSON, REFERENCE, REQUEST, Payload
from tests.support.fake_engine import FakeEngine

PATH = b"/v1/apis/echo/predict"


class Asker:
    def __init__(self):
        self.replies = []

    def reply(self, reply):
        self.replies.append(reply)


class Fetcher:
    async def fetch(self, reference):
        if reference.uri.endswith("bug"):
            raise RuntimeError("a bug")
        return Payload(b"fetched", reference.content_type or "text/plain")


def asked(*requests, shows_requests=False, keys=None):
    """The replies, and what the engine was given."""

    async def run():
        engine = FakeEngine()
        engine.echoes = True
        desk = Desk(engine, Bounds(10, 1000), lambda _state: None)
        desk.start()
        answering = Answering(Terms("echo", 5.0, 2, shows_requests, keys), desk, Fetcher())
        askers = [Asker() for _ in requests]
        for request, asker in zip(requests, askers, strict=True):
            answering.answer(request, asker)
        for _ in range(8):
            await asyncio.sleep(0)
        desk._turn()
        desk.close(0.0)
        return [asker.replies[0] for asker in askers], engine

    return asyncio.run(run())


def post(body, target=PATH, **headers):
    named = {name.replace("_", "-").encode(): text.encode() for name, text in headers.items()}
    return Request(b"POST", target, named, body)


def test_an_item_is_what_its_content_type_says_and_json_where_nothing_is_said():
    replies, engine = asked(post(b"1"), post(b"x", content_type="image/png"), post(b"2", PATH + b"?a=b"))
    assert [(reply.status, reply.body) for reply in replies] == [(200, b"1"), (200, b"x"), (200, b"2")]
    assert [task.payload.content_type for call in engine.calls for task in call] == [JSON, "image/png", JSON]


def test_headers_and_query_travel_only_where_the_predictor_sees_them():
    _, engine = asked(post(b"1", PATH + b"?debug=1", content_type=JSON, x_user="me"), shows_requests=True)
    [[task]] = engine.calls
    assert task.payload.content_type == REQUEST
    headers = {"content-type": JSON, "x-user": "me"}
    assert unpack_request(task.payload.data) == (b"1", JSON, headers, "debug=1")


def test_a_reference_is_fetched_and_what_comes_of_a_fetchers_bug_is_a_reply():
    replies, engine = asked(
        post(b'{"uri": "s3://b/k", "content_type": "image/png"}', content_type=REFERENCE),
        post(b'{"uri": "s3://b/bug"}', content_type=REFERENCE),
        post(b'{"url": 1}', content_type=REFERENCE),
    )
    assert [reply.status for reply in replies] == [200, 500, 422]
    assert engine.payloads == [b"fetched"]


def test_what_is_no_prediction_is_answered_at_once():
    requests = [
        Request(b"GET", b"/healthz", {}, b""),
        Request(b"HEAD", b"/readyz?x", {}, b""),
        Request(b"POST", b"/readyz", {}, b""),
        Request(b"GET", PATH, {}, b""),
        Request(b"GET", b"/\xff", {}, b""),
        post(b"a=1", content_type="multipart/form-data; boundary=x"),
        post(b"1", content_type=JSON, content_encoding="gzip"),
        post(b"1", si_timeout="nan"),
        post(b"1", origin="http://elsewhere", host="here:1"),
        post(b"1", origin="http://127.0.0.1:1", host="127.0.0.1:1"),
        post(b"1", origin="http://rebound.example:1", host="rebound.example:1"),
    ]
    replies, _ = asked(*requests)
    assert [reply.status for reply in replies] == [200, 200, 405, 405, 404, 415, 415, 400, 403, 200, 403]


def test_with_keys_a_prediction_needs_one_that_may_submit():
    mine, reader, stranger = (
        new_key(name, [scope]) for name, scope in (("a", Scope.SUBMIT), ("b", Scope.READ), ("c", Scope.ADMIN))
    )
    keys = Reloading("API keys", [], lambda: KeyRing([mine.entry, reader.entry]))
    replies, engine = asked(
        post(b"1", x_api_key=mine.key),
        post(b"2", authorization=f"Bearer {mine.key}"),
        post(b"3"),
        post(b"4", x_api_key=reader.key),
        post(b"5", x_api_key=stranger.key),
        Request(b"GET", b"/readyz", {}, b""),
        keys=keys,
    )
    assert [reply.status for reply in replies] == [200, 200, 401, 403, 401, 200]
    assert engine.payloads == [b"1", b"2"]
    assert ("WWW-Authenticate", 'Bearer realm="stream-infer"') in replies[2].headers


def test_no_predictor_sees_the_key_and_it_may_have_an_authorization_of_its_own():
    mine = new_key("a", [Scope.SUBMIT])
    keys = Reloading("API keys", [], lambda: KeyRing([mine.entry]))
    _, engine = asked(
        post(b"1", content_type=JSON, authorization=f"Bearer {mine.key}", x_user="me"),
        post(b"2", content_type=JSON, x_api_key=mine.key, authorization="Bearer its-own"),
        shows_requests=True,
        keys=keys,
    )
    seen = [unpack_request(data)[2] for data in engine.payloads]
    assert seen == [
        {"content-type": JSON, "x-user": "me"},
        {"content-type": JSON, "authorization": "Bearer its-own"},
    ]


def test_a_key_that_is_sent_in_two_headers_is_taken_out_of_both():
    mine = new_key("a", [Scope.SUBMIT])
    keys = Reloading("API keys", [], lambda: KeyRing([mine.entry]))
    headers = {"x_api_key": mine.key, "authorization": f"Bearer {mine.key}", "cookie": f"k={mine.key}"}
    twice = post(b"1", content_type=JSON, **headers)
    _, engine = asked(twice, shows_requests=True, keys=keys)
    assert unpack_request(engine.payloads[0])[2] == {"content-type": JSON}


def test_a_large_body_is_refused_by_its_head_and_a_key_has_a_size_of_its_own():
    mine, small, reader = (
        new_key(name, [scope]) for name, scope in (("a", Scope.SUBMIT), ("b", Scope.SUBMIT), ("c", Scope.READ))
    )
    entries = [mine.entry, small.entry.model_copy(update={"request_bytes": 3}), reader.entry]
    keys = Reloading("API keys", [], lambda: KeyRing(entries))
    answering = Answering(Terms("echo", 5.0, 2, keys=keys), None, Fetcher())

    def refused(length, **headers):
        problem = answering.refusal(post(b"", **headers), length)
        return problem and problem.status

    assert refused(100_000, x_api_key=mine.key) is None
    assert refused(None, x_api_key=mine.key) is None
    assert refused(100_000, x_api_key=small.key) == 413
    assert refused(100_000, x_api_key=reader.key) == 403
    assert refused(None) == 401
    assert answering.refusal(Request(b"POST", b"/elsewhere", {}, b""), None).status == 404
    assert answering.refusal(Request(b"GET", b"/healthz", {}, b""), None).status == 400
    assert Answering(Terms("echo", 5.0, 2), None, Fetcher()).refusal(post(b""), None) is None

    replies, _ = asked(post(b"123", x_api_key=small.key), post(b"1234", x_api_key=small.key), keys=keys)
    assert [reply.status for reply in replies] == [200, 413]
    assert b"of this API key" in replies[1].body


def test_with_keys_its_numbers_need_one_that_may_read():
    reader, submitter = (new_key(name, [scope]) for name, scope in (("a", Scope.READ), ("b", Scope.SUBMIT)))
    keys = Reloading("API keys", [], lambda: KeyRing([reader.entry, submitter.entry]))
    numbers = [
        Request(b"GET", b"/metrics", headers, b"")
        for headers in ({}, {b"x-api-key": submitter.key.encode()}, {b"x-api-key": reader.key.encode()})
    ]
    replies, _ = asked(*numbers, keys=keys)
    assert [reply.status for reply in replies] == [401, 403, 200]
