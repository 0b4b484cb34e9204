from hypothesis import given
from hypothesis import strategies as st

from stream_infer.dead_letters import MESSAGE_LIMIT, STACK_LIMIT, ErrorHeader, dead_letter, read_dead_letter, shorten
from stream_infer.errors import Stage
from stream_infer.records import Failure, Header, Message, Position, read_item

FAILURE = Failure(Stage.DECODE, "builtins.ValueError", "not JSON", "Traceback …\nValueError: not JSON")
headers = st.lists(
    st.tuples(
        st.one_of(st.sampled_from([*Header, *ErrorHeader]), st.text(max_size=10)),
        st.one_of(st.none(), st.binary(max_size=20)),
    ),
    max_size=10,
).map(tuple)


def message(*headers):
    return Message("p.a.items", 1, 7, b"key", b"{broken", headers, 0)


def ended(original, failure=FAILURE):
    record = dead_letter(
        read_item(original), failure, "p.a.dlq", predictor="m.Model", worker="p.a.worker.h.0", api_version="v1"
    )
    return Message(record.topic, 0, 99, record.key, record.value, record.headers, 0)


def test_a_dead_letter_keeps_key_value_and_headers_and_says_why():
    letter = read_dead_letter(ended(message(("si-job-id", b"j"), ("own", b"\x00\xff"))))

    assert (letter.item.message.key, letter.item.message.value) == (b"key", b"{broken")
    assert letter.item.message.headers[:2] == (("si-job-id", b"j"), ("own", b"\x00\xff"))
    assert letter.failure == FAILURE
    assert letter.origin == Position("p.a.items", 1, 7)
    assert letter.position == Position("p.a.dlq", 0, 99)
    assert (letter.worker, letter.api_version, letter.item.item_id) == ("p.a.worker.h.0", "v1", "p.a.items-1-7")


def test_an_id_that_the_producer_set_is_not_written_twice():
    names = [name for name, _ in ended(message(("SI-Item-Id", b"mine"))).headers]

    assert [name for name in names if name.lower() == "si-item-id"] == ["SI-Item-Id"]


def test_of_two_reasons_the_last_one_counts():
    once = ended(message())
    twice = ended(once, Failure(Stage.PREDICT, "E", "later"))

    assert read_dead_letter(twice).failure.message == "later"


def test_other_tools_find_what_they_look_for():
    found = dict(ended(message()).headers)

    assert found["__connect.errors.topic"] == b"p.a.items"
    assert found["__connect.errors.stage"] == b"decode"
    assert found["__connect.errors.exception.class.name"] == b"builtins.ValueError"
    assert found["kafka_dlt-original-topic"] == b"p.a.items"


def test_a_long_stack_and_message_are_cut_in_their_middle():
    failure = Failure(Stage.PREDICT, "E", "m" * 100_000, "first" + "ü" * 100_000 + "last")
    found = dict(ended(message(), failure).headers)

    stack = found[ErrorHeader.STACKTRACE.value]
    assert len(stack) <= STACK_LIMIT
    assert len(found[ErrorHeader.MESSAGE.value]) <= MESSAGE_LIMIT
    assert stack.startswith(b"first")
    assert stack.endswith(b"last")
    stack.decode()


@given(st.text(max_size=300), st.integers(min_value=40, max_value=200))
def test_what_is_shortened_fits_and_is_text(text, limit):
    assert len(shorten(text, limit)) <= limit
    shorten(text, limit).decode()


@given(headers)
def test_no_headers_at_all_make_reading_raise(headers):
    read_dead_letter(message(*headers))


@given(st.text(max_size=50), st.text(max_size=50), headers)
def test_any_failure_of_any_item_can_be_written_and_read_back(text, stack, headers):
    letter = read_dead_letter(ended(message(*headers), Failure(Stage.FETCH, "E", text, stack)))

    assert letter.failure.stage is Stage.FETCH
    assert letter.origin == Position("p.a.items", 1, 7)
