import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_infer.dead_letters import (
    MESSAGE_LIMIT,
    STACK_LIMIT,
    ErrorHeader,
    Writer,
    dead_letter,
    presentable,
    read_dead_letter,
    shorten,
)
from stream_infer.errors import Stage
from stream_infer.headers import Header, read_item
from stream_infer.records import Failure, Message, Position

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
        read_item(original),
        failure,
        "p.a.dlq",
        predictor="m.Model",
        worker="p.a.worker.h.0",
        api_version="v1",
        group="p.a.worker",
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
    assert found["kafka_dlt-original-partition"] == b"\x00\x00\x00\x01"
    assert found["kafka_dlt-original-offset"] == b"\x00\x00\x00\x00\x00\x00\x00\x07"
    assert found["kafka_dlt-original-timestamp"] == bytes(8)
    assert found["kafka_dlt-original-consumer-group"] == b"p.a.worker"
    assert found["kafka_dlt-exception-fqcn"] == b"builtins.ValueError"
    assert found["kafka_dlt-exception-message"] == b"not JSON"


def test_spring_reads_the_same_place_as_connect_and_of_a_retried_item_no_time():
    origin = ("si-origin", b"p.a.items/3/300")
    found = dict(ended(message(origin)).headers)

    assert (found["__connect.errors.partition"], found["__connect.errors.offset"]) == (b"3", b"300")
    assert int.from_bytes(found["kafka_dlt-original-partition"], "big") == 3
    assert int.from_bytes(found["kafka_dlt-original-offset"], "big") == 300
    assert "kafka_dlt-original-timestamp" not in found


def test_a_dead_letter_says_when_its_item_failed():
    record = dead_letter(
        read_item(message()), FAILURE, "p.a.dlq", predictor="P", worker="w", api_version="v", failed_at=1700000000.5
    )
    letter = read_dead_letter(Message(record.topic, 0, 99, record.key, record.value, record.headers, 1700000009000))
    assert letter.failed_at == 1700000000.5
    assert read_dead_letter(ended(message())).failed_at is None


@pytest.mark.parametrize("said", [b"", b"nan", b"1e999", b"-1.000", b"9" * 400, None])
def test_a_time_of_failure_that_is_none_is_passed_over(said):
    assert read_dead_letter(ended(message(("si-failed-at", said)))).failed_at is None


def test_a_dead_letter_tells_no_secret():
    failure = Failure(Stage.FETCH, "E", "https://me:hunter2@host/x is away", 'Bad("x", password="hunter2")')
    found = dict(ended(message(), failure).headers)

    assert found[ErrorHeader.MESSAGE.value] == b"https://***@host/x is away"
    assert found[ErrorHeader.STACKTRACE.value] == b'Bad("x", password="***")'


@pytest.mark.parametrize("before", range(150, 260, 7))
def test_a_secret_is_not_told_by_half_where_a_text_is_cut(before):
    """Each cut falls into the secret for some of these."""
    text = "x" * before + " password=" + "hunter2" * 12 + " " + "y" * 1000
    assert b"unter" not in presentable(text[:500], 200)
    assert b"unter" not in presentable(text + "z" * before, 200)


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


CONNECT = (
    ("mine", b"1"),
    ("__connect.errors.topic", b"orders"),
    ("__connect.errors.partition", b"3"),
    ("__connect.errors.offset", b"41"),
    ("__connect.errors.connector.name", b"sink-orders"),
    ("__connect.errors.stage", b"VALUE_CONVERTER"),
    ("__connect.errors.exception.class.name", b"org.apache.kafka.connect.errors.DataException"),
    ("__connect.errors.exception.message", b"no schema"),
    ("__connect.errors.exception.stacktrace", b"at org.apache"),
)
SPRING = (
    ("mine", b"1"),
    ("kafka_dlt-original-topic", b"orders"),
    ("kafka_dlt-original-partition", (3).to_bytes(4, "big")),
    ("kafka_dlt-original-offset", (41).to_bytes(8, "big")),
    ("kafka_dlt-original-timestamp", (1_700_000_000_000).to_bytes(8, "big")),
    ("kafka_dlt-exception-fqcn", b"org.springframework.kafka.listener.ListenerExecutionFailedException"),
    ("kafka_dlt-exception-cause-fqcn", b"java.lang.IllegalStateException"),
    ("kafka_dlt-exception-message", b"no"),
    ("kafka_dlt-exception-stacktrace", b"at com.example"),
)
SHARE_GROUP = (
    ("mine", b"1"),
    ("__dlq.errors.topic", b"orders"),
    ("__dlq.errors.partition", b"3"),
    ("__dlq.errors.offset", b"41"),
    ("__dlq.errors.group", b"billing"),
    ("__dlq.errors.delivery.count", b"5"),
    ("__dlq.errors.message", b"Offset rejected by client."),
)


@pytest.mark.parametrize(
    ("headers", "writer", "stage", "exception", "said", "stack"),
    [
        (CONNECT, Writer.CONNECT, "VALUE_CONVERTER", "org.apache.kafka.connect.errors.DataException", "no schema",
         "at org.apache"),
        (SPRING, Writer.SPRING, "listener", "java.lang.IllegalStateException", "no", "at com.example"),
        (SHARE_GROUP, Writer.SHARE_GROUP, "delivery", "",
         "Offset rejected by client. (share group billing, deliveries: 5)", ""),
    ],
)  # fmt: skip
def test_dead_letters_of_others_are_read_by_their_own_headers(headers, writer, stage, exception, said, stack):
    letter = read_dead_letter(message(*headers, ("si-job-id", b"j")))

    assert (letter.writer, letter.stage, letter.origin) == (writer, stage, Position("orders", 3, 41))
    assert (letter.failure.exception, letter.failure.message, letter.failure.stacktrace) == (exception, said, stack)
    assert (letter.item.job_id, letter.job_id) == ("j", None), "no worker has counted it in the job"


def test_of_several_writers_a_worker_counts_most():
    assert read_dead_letter(ended(message(*SPRING, *SHARE_GROUP))).failure == FAILURE
    assert read_dead_letter(message(*SPRING, *CONNECT)).writer is Writer.CONNECT
    assert read_dead_letter(message(("own", b""))).writer is Writer.UNKNOWN


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (b"12", 12),
        (b"\x00\x00\x00\x07", 7),
        (b"\x00" * 7 + b"\x09", 9),
        (b"1234", 1234),
        (b"x", -1),
        (None, -1),
        (b"", -1),
    ],
)
def test_a_place_is_digits_or_javas_own_number(value, number):
    assert read_dead_letter(message(("kafka_dlt-original-partition", value))).origin.partition == number
