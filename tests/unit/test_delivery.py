"""What one transaction of a worker says."""

from base64 import b64encode
from typing import Any

from stream_infer.dead_letters import read_dead_letter
from stream_infer.errors import Stage
from stream_infer.headers import item_headers
from stream_infer.jobs.counts import Counts
from stream_infer.jobs.events import Counted, HookEnded, decode_event
from stream_infer.records import REFERENCE, Failure, Headers, Message, OutgoingRecord, Output
from stream_infer.topics import ApiTopics
from stream_infer.worker.delivery import Delivery, DeliveryPolicy, size_of
from stream_infer.worker.held import NOTHING, SKIPPED, Ended
from stream_infer.worker.ledger import Ledger
from stream_infer.worker.payloads import Payloads
from stream_infer.worker.transaction import Transaction
from tests.support.hand_worked_pool import HandWorkedPool
from tests.support.items import item_at
from tests.support.memory_store import MemoryStore

PARTITION = ("p.api.items", 0)
TOPICS = ApiTopics("p", "api")
POLICY = DeliveryPolicy(TOPICS, "p.progress", "worker-1", "v1", max_result_bytes=5000, max_dead_letter_bytes=7000)
BOOM = Failure(Stage.PREDICT, "builtins.ValueError", "boom", "Traceback ...")


def delivered(
    *ends: tuple[Headers, Ended], store: MemoryStore | None = None, value: bytes = b"{}", key: bytes = b"key"
) -> list[OutgoingRecord]:
    ledger = ledger_of(*ends, value=value, key=key)
    pool: Any = HandWorkedPool()
    delivery = Delivery(POLICY, Payloads(store or MemoryStore(), pool), lambda: "Model")
    while (added := (transaction := Transaction(delivery)).add(ledger.prefixes(100))).waiting:
        assert pool.work()
        delivery.payloads.advance(0.0)
    return added.records + transaction.progress(12.0)


def ledger_of(*ends: tuple[Headers, Ended], value: bytes = b"{}", key: bytes = b"key") -> Ledger:
    ledger = Ledger()
    ledger.assign([PARTITION])
    for offset, (headers, ended) in enumerate(ends):
        [entry] = ledger.admit(PARTITION, [item_at(*PARTITION, offset, value, headers, key)])
        assert entry is not None
        ledger.finish(entry.token, ended)
    return ledger


def counts(records: list[OutgoingRecord]) -> dict[tuple[str, int], Counts]:
    events = [decode_event(record.value or b"") for record in records if record.topic == "p.progress"]
    return {(event.job_id, event.generation): event.delta for event in events if isinstance(event, Counted)}


def test_a_result_keeps_its_items_key_ids_and_source() -> None:
    headers = item_headers(job_id="j", item_id="j-7", custom_id="mine", source="file:///a.jpg", generation=2)

    [result, _] = delivered((headers, Output(b'"cat"')))

    assert (result.topic, result.key, result.value) == ("p.api.results", b"key", b'"cat"')
    assert dict(result.headers) == {
        "content-type": b"application/json",
        "si-job-id": b"j",
        "si-item-id": b"j-7",
        "si-custom-id": b"mine",
        "si-source": b"file:///a.jpg",
        "si-generation": b"2",
    }


def test_an_item_without_an_id_is_named_after_its_place() -> None:
    [result] = delivered(((), Output(b"1")))

    assert dict(result.headers)["si-item-id"] == b"p.api.items-0-0"


def test_each_job_and_generation_gets_one_delta_with_all_its_ends() -> None:
    one, two = item_headers(job_id="one"), item_headers(job_id="two", generation=3)

    records = delivered((one, Output(b"1")), (one, Output(None)), (one, BOOM), (two, SKIPPED), (one, NOTHING))

    assert counts(records) == {
        ("one", 1): Counts(succeeded=2, rejected=1, written=2),
        ("two", 3): Counts(skipped=1),
    }


def test_a_none_output_succeeds_and_writes_no_record() -> None:
    records = delivered((item_headers(job_id="j"), Output(None)))

    assert [record.topic for record in records] == ["p.progress"]


def test_items_without_a_job_have_no_delta() -> None:
    assert [record.topic for record in delivered(((), Output(b"1")), ((), BOOM))] == ["p.api.results", "p.api.dlq"]


def test_a_dead_letter_keeps_the_original_and_adds_the_reason() -> None:
    headers = (("mine", b"1"), ("si-custom-id", b"c"))

    [letter] = delivered((headers, BOOM), value=b'{"x":1}')

    assert (letter.topic, letter.key, letter.value) == ("p.api.dlq", b"key", b'{"x":1}')
    assert letter.headers[:2] == headers
    read = read_dead_letter(Message(letter.topic, 0, 5, letter.key, letter.value, letter.headers, 0))
    assert read.failure == BOOM
    assert read.origin == ("p.api.items", 0, 0)
    assert (read.worker, read.api_version, read.item.item_id) == ("worker-1", "v1", "p.api.items-0-0")


def test_an_output_too_big_for_a_message_goes_to_the_store() -> None:
    store = MemoryStore()

    [result] = delivered(((), Output(b"x" * 5000, "image/png")), store=store)

    assert dict(result.headers)["content-type"] == REFERENCE.encode()
    assert result.value == b'{"uri":"memory:///_payloads/results/p.api.items-0-0","content_type":"image/png"}'
    assert store.get("_payloads/results/p.api.items-0-0") == b"x" * 5000


def test_a_dead_letter_too_big_for_its_topic_keeps_its_payload_in_the_store() -> None:
    store = MemoryStore()

    [letter] = delivered(((), BOOM), store=store, value=b"y" * 7000)

    assert store.get("_payloads/dead-letters/p.api.items-0-0") == b"y" * 7000
    read = read_dead_letter(Message(letter.topic, 0, 5, letter.key, letter.value, letter.headers, 0))
    assert read.item.content_type == REFERENCE
    assert read.failure == BOOM


def test_the_end_of_a_hook_is_said_in_the_same_transaction() -> None:
    event = HookEnded(job_id="j", at=1.0, error=None)

    [record] = delivered((item_headers(job_id="j"), event))

    assert decode_event(record.value or b"") == event


def test_a_key_too_big_for_any_record_rejects_its_item_and_keeps_the_original_in_the_store() -> None:
    store = MemoryStore()

    [letter, progress] = delivered((item_headers(job_id="j"), Output(b"1")), store=store, key=b"k" * 9000)

    read = read_dead_letter(Message(letter.topic, 0, 5, letter.key, letter.value, letter.headers, 0))
    assert (letter.topic, letter.key) == ("p.api.dlq", b"k" * 1024)
    assert read.failure.stage is Stage.DELIVER
    assert "9,0" in read.failure.message
    assert read.item.job_id == "j"
    assert size_of(letter) <= POLICY.max_dead_letter_bytes
    assert b64encode(b"k" * 9000) in store.get("_payloads/dead-letters/p.api.items-0-0")
    assert counts([progress]) == {("j", 1): Counts(rejected=1, written=1)}


def test_headers_too_big_for_any_record_are_cut_and_kept_in_the_store() -> None:
    store = MemoryStore()

    [letter] = delivered(((("mine", b"h" * 9000),), BOOM), store=store)

    assert size_of(letter) <= POLICY.max_dead_letter_bytes
    assert dict(letter.headers)["mine"] == b"h" * 1024
    assert b64encode(b"h" * 9000) in store.get("_payloads/dead-letters/p.api.items-0-0")


def test_what_headers_say_of_their_item_is_kept_however_many_others_stand_before_it() -> None:
    strange = tuple((f"mine-{number}", b"h" * 100) for number in range(70))
    said = item_headers(job_id="j", item_id="j-7", custom_id="c", source="file:///a", generation=2)
    headers: Headers = (*strange, ("si-job-id", b"forged"), *said, *strange, ("si-job-id", None))

    [letter, progress] = delivered((headers, BOOM))

    read = read_dead_letter(Message(letter.topic, 0, 5, letter.key, letter.value, letter.headers, 0))
    item = read.item
    assert (read.job_id, item.item_id, item.generation) == ("j", "j-7", 2)
    assert (item.custom_id, item.source, item.content_type) == ("c", "file:///a", REFERENCE)
    assert sum(name.startswith("mine-") for name, _ in letter.headers) == 64
    assert counts([progress]) == {("j", 2): Counts(rejected=1, written=1)}


def test_a_none_output_of_an_item_with_a_huge_key_succeeds_since_nothing_is_written() -> None:
    records = delivered((item_headers(job_id="j"), Output(None)), key=b"k" * 9000)

    assert counts(records) == {("j", 1): Counts(succeeded=1)}


def test_what_waits_for_the_store_holds_up_only_what_is_behind_it_and_all_such_payloads_set_out_at_once() -> None:
    ledger = ledger_of(((), Output(b"1")), ((), Output(b"x" * 5000)), ((), Output(b"3")), ((), Output(b"y" * 5000)))
    pool: Any = HandWorkedPool()
    store = MemoryStore()
    delivery = Delivery(POLICY, Payloads(store, pool), lambda: "Model")

    built = Transaction(delivery).add(ledger.prefixes(100))

    assert [record.value for record in built.records] == [b"1"]
    assert [prefix.offset for prefix in built.prefixes] == [1]
    assert [entry.next_offset for entry in built.waiting] == [2, 4]
    assert pool.work() == 2
    assert len(delivery.payloads.advance(0.0)) == 2
    built = Transaction(delivery).add(ledger.prefixes(100))
    assert ([prefix.offset for prefix in built.prefixes], built.waiting) == ([4], [])
    assert store.get("_payloads/results/p.api.items-0-3") == b"y" * 5000


def test_nothing_is_counted_of_what_waits_for_the_store() -> None:
    headers = item_headers(job_id="j")
    ledger = ledger_of((headers, Output(b"x" * 5000)), (headers, SKIPPED), (headers, HookEnded(job_id="j", at=1.0)))
    pool: Any = HandWorkedPool()

    transaction = Transaction(Delivery(POLICY, Payloads(MemoryStore(), pool), lambda: "Model"))
    built = transaction.add(ledger.prefixes(100))

    assert (built.records, built.prefixes, transaction.progress(12.0)) == ([], [], [])
