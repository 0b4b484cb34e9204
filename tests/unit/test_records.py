import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_infer.headers import Header, item_headers, item_id_of, ordinal_of, read_item, result_headers, retry_headers
from stream_infer.records import JSON, Control, Message

names = st.one_of(st.sampled_from([*Header, "SI-ATTEMPT", "Content-Type"]), st.text(max_size=20))
headers = st.lists(st.tuples(names, st.one_of(st.none(), st.binary(max_size=30))), max_size=12).map(tuple)


def message(*headers, value=b"{}"):
    return Message("p.a.items", 3, 17, b"k", value, headers, 0)


@given(headers, st.one_of(st.none(), st.binary(max_size=50)))
def test_no_bytes_at_all_make_reading_raise(headers, value):
    item = read_item(message(*headers, value=value))

    assert item.item_id
    assert item.attempt >= 1
    assert item.generation >= 1
    assert item.message.headers == headers
    assert isinstance(item.payload.data, bytes)


def test_a_record_without_headers_is_json_and_named_after_its_place():
    item = read_item(message())

    assert (item.item_id, item.content_type, item.job_id, item.attempt, item.fault) == (
        "p.a.items-3-17",
        JSON,
        None,
        1,
        None,
    )


def test_what_item_headers_writes_is_what_read_item_reads():
    written = item_headers(
        content_type="image/png",
        job_id="j",
        item_id="j-4",
        custom_id="grüße",
        source="s3://b/k",
        generation=2,
        deadline=1_700_000_000.25,
        control=Control.ON_JOB_COMPLETE,
    )
    item = read_item(message(*written))

    assert (item.content_type, item.job_id, item.item_id, item.custom_id) == ("image/png", "j", "j-4", "grüße")
    assert (item.source, item.generation, item.deadline) == ("s3://b/k", 2, 1_700_000_000.25)
    assert item.control == Control.ON_JOB_COMPLETE
    assert item.fault is None


def test_a_header_that_makes_no_sense_becomes_the_items_fault():
    item = read_item(message(("si-attempt", b"two"), ("si-job-id", b"\xff"), ("si-deadline", b"nan")))

    assert item.fault is not None
    for name in ("si-attempt", "si-job-id", "si-deadline"):
        assert name in item.fault


def test_names_of_headers_are_read_in_any_case():
    assert read_item(message(("Content-Type", b"text/plain"))).content_type == "text/plain"


def test_cloudevents_are_understood():
    item = read_item(message(("ce_id", b"e1"), ("ce_datacontenttype", b"text/plain")))

    assert (item.custom_id, item.content_type) == ("e1", "text/plain")


def test_a_result_carries_its_items_identity_and_trace():
    given = (*item_headers(job_id="j", item_id="j-0", source="a.jpg"), ("traceparent", b"00-1"))
    carried = dict(result_headers(read_item(message(*given)), "text/plain"))

    assert carried == {
        "content-type": b"text/plain",
        "si-job-id": b"j",
        "si-item-id": b"j-0",
        "si-source": b"a.jpg",
        "traceparent": b"00-1",
    }
    given = (*given, ("tracestate", b"v=1"))
    assert dict(result_headers(read_item(message(*given)), "text/plain")) == carried | {"tracestate": b"v=1"}


@pytest.mark.parametrize("broken", [b"\xff\xfe", b""])
def test_no_item_is_rejected_for_a_broken_trace(broken):
    item = read_item(message(("traceparent", broken), ("tracestate", b"\xff")))

    assert item.fault is None
    assert item.tracestate is None
    carried = dict(result_headers(item, "text/plain"))
    assert carried.get("traceparent") is None
    assert ("traceparent", broken) in retry_headers(item, attempt=2, not_before=1.0)


def test_a_trace_whose_state_is_broken_is_carried_on_without_it():
    item = read_item(message(("traceparent", b"x" * 2000), ("tracestate", b"\xff")))

    assert dict(result_headers(item, "text/plain"))["traceparent"] == b"x" * 2000
    assert "tracestate" not in dict(result_headers(item, "text/plain"))


def test_a_result_of_a_later_generation_says_so():
    given = item_headers(job_id="j", item_id="j-0", generation=2)

    assert dict(result_headers(read_item(message(*given)), JSON))["si-generation"] == b"2"
    assert "si-generation" not in dict(result_headers(read_item(message(*given)), JSON, jobless=True))


def test_what_goes_without_saying_is_not_written():
    assert item_headers(job_id="j", item_id="j-0", content_type=JSON, generation=1) == (
        ("si-job-id", b"j"),
        ("si-item-id", b"j-0"),
    )


@given(st.text(max_size=20), st.integers(min_value=0, max_value=10**12))
def test_an_items_ordinal_is_read_back_from_its_id(job, ordinal):
    assert ordinal_of(job, item_id_of(job, ordinal)) == ordinal


@given(st.text(max_size=20), st.text(max_size=20))
def test_no_id_makes_the_search_for_an_ordinal_raise(job, item_id):
    found = ordinal_of(job, item_id)

    assert found is None or found >= 0
