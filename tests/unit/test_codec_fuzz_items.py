"""Whatever an item, a result or a dead letter is made of, it has an end."""

import json
from contextlib import suppress

from hypothesis import given
from hypothesis import strategies as st

from connectors.formats import jsonl
from connectors.stores.keys import checked_key
from stream_infer.dead_letters import CUT, ErrorHeader, read_dead_letter
from stream_infer.engine.codec import decoder_for
from stream_infer.errors import UndecodableItem
from stream_infer.gateway.dead_letters.bodies import dead_letter_detail
from stream_infer.gateway.dead_letters.originals import Irrecoverable, again, original_of
from stream_infer.headers import LARGEST_NUMBER, Header, read_item
from stream_infer.http.json_text import to_json
from stream_infer.jobs.manifest import Kind
from stream_infer.jobs.merge import numbered_lines
from stream_infer.jobs.replays import Replays, still_failed
from stream_infer.records import REFERENCE
from stream_infer.sink.names import ObjectName, object_key, read_name
from stream_infer.sink.records import read_line
from stream_infer.worker.retry import RetryPolicy
from stream_infer.worker.triage import Moment, triage
from tests.support.hostile import FUZZ, hostile
from tests.support.items import message_at
from tests.support.memory_store import MemoryStore

# Items, results and dead letters.

NAMES = st.one_of(
    st.sampled_from([*Header, *ErrorHeader, "kafka_dlt-original-offset", "__dlq.errors.offset", "SI-Item-Id"]),
    st.text(max_size=5),
)
VALUES = st.one_of(
    st.none(),
    st.binary(max_size=20),
    st.sampled_from(
        [
            *(
                b"9" * 5000,
                b"j-" + b"9" * 5000,
                b"j-" + b"9" * 19,
                b"j",
                b"../..",
                b"\x00",
                b"-1",
                b"9" * 18,
                b"9" * 19,
            ),
            *(
                b"0",
                b"1e5",
                b"\xd9\xa1",
                b"2" * 12,
                REFERENCE.encode(),
                CUT.encode(),
                b"application/json",
                b"text/plain",
            ),
            *(b"text/plain; charset=undefined", b"\x80" * 8, b"\xff" * 4, b"predict"),
        ]
    ),
)
HEADERS = st.lists(st.tuples(NAMES, VALUES), max_size=10).map(tuple)
STORED = b'{"uri":"memory:///_payloads/dead-letters/x","content_type":"%b"}' % CUT.encode()
KEPT = b'{"key":"aw==","value":"e30=","headers":[["own","MQ=="],["content-type","YXBwbGljYXRpb24vanNvbg=="]]}'
BODIES = st.one_of(st.none(), hostile(b'{"uri":"file:///x","content_type":"image/png"}', STORED))


@FUZZ
@given(HEADERS, BODIES, st.sampled_from(Kind), st.sampled_from([-(2**63), -1, 0, 2**63 - 1]))
def test_any_record_becomes_one_line_of_json_that_its_readers_understand(headers, value, kind, timestamp):
    message = message_at("p.a.results", 0, 7, value, headers, key=value)._replace(timestamp_ms=timestamp)

    destination, line = read_line(message, kind, jsonl)

    assert line.data.endswith(b"\n") and line.data.count(b"\n") == 1
    json.loads(line.data)
    assert line.ordinal is None or line.ordinal <= LARGEST_NUMBER
    key = object_key("a", destination, ObjectName(kind, 0, 7, destination.generation, "0" * 12))
    assert read_name(checked_key(key)) is not None
    list(numbered_lines([line.data], "j"))
    list(still_failed([line.data], Replays({"p.a.results": {(0, 7)}})))


@FUZZ
@given(HEADERS, BODIES)
def test_any_dead_letter_can_be_shown_and_is_replayed_or_refused_with_a_reason(headers, value):
    message = message_at("p.a.dlq", 0, 7, value, (*headers, ("content-type", REFERENCE.encode())), key=b"k")
    letter = read_dead_letter(message._replace(headers=((ErrorHeader.TOPIC.value, b"t"), *message.headers)))

    store = MemoryStore()
    store.put("_payloads/dead-letters/x", KEPT)
    try:
        original = original_of(letter, store)
    except Irrecoverable:
        return
    record = again(letter, original, "p.a.items", 2, 1000)
    assert read_item(message_at(value=record.value, headers=record.headers)).attempt == 1
    to_json(dead_letter_detail(letter, original.value, original.content_type, is_replayed=False))


@FUZZ
@given(hostile(KEPT))
def test_whatever_the_store_keeps_for_a_dead_letter_is_its_item_or_refused(kept):
    letter = read_dead_letter(
        message_at(value=STORED, headers=((ErrorHeader.TOPIC.value, b"t"), ("content-type", REFERENCE.encode())))
    )
    store = MemoryStore()
    store.put("_payloads/dead-letters/x", kept)
    with suppress(Irrecoverable):
        again(letter, original_of(letter, store), "p.a.items", 2, 1000)


class NoJobs:
    def status(self, job_id):
        return None

    def is_skipping(self, item):
        return False


@FUZZ
@given(HEADERS, BODIES, st.sampled_from([None, 1, 2]))
def test_any_item_is_judged(headers, value, tier):
    item = read_item(message_at("p.a.items", value=value, headers=headers))
    triage(
        item, tier, NoJobs(), RetryPolicy(3, (5.0, 30.0), 3600.0), Moment(1e9, jobs_are_current=True, is_serving=True)
    )


TYPES = st.sampled_from(
    ["application/json", "text/plain", "text/plain; charset=", "text/x;charset=\0", "a/b+json", "", ";", "text/a;=;="]
    + [f"text/plain; charset={name}" for name in ("undefined", "idna", "PUNYCODE", "utf-7", "utf-16", "unicode_escape")]
    + ["text/plain; charset=" + "x" * 5000, "x" * 10_000, "application/json" + ";" * 10_000]
)


@FUZZ
@given(
    st.one_of(TYPES, st.text(max_size=20).map("text/plain; charset={}".format)), hostile(b'{"a":[1,"x",{"b":null}]}')
)
def test_a_payload_is_decoded_or_undecodable_wherever_it_lies(content_type, data):
    assert decoded(content_type, memoryview(data)) == decoded(content_type, data)


def decoded(content_type, data):
    try:
        return repr(decoder_for(content_type)(data))
    except UndecodableItem as error:
        return str(error)
