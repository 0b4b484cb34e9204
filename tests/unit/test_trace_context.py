"""Whose trace something belongs to: read as W3C has it, and from strangers as well."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_infer.headers import trace_headers
from stream_infer.trace_context import TraceContext, read_context, sampled_contexts

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SENT = f"00-{TRACE}-{SPAN}-01"


def test_a_context_is_read_and_written_as_it_came():
    context = read_context(SENT, "congo=t61rcWkgMzE, rojo=00f067aa0ba902b7")

    assert context == TraceContext(TRACE, SPAN, 1, "congo=t61rcWkgMzE,rojo=00f067aa0ba902b7")
    assert context.is_sampled
    assert context.traceparent == SENT
    assert trace_headers(context) == (
        ("traceparent", SENT.encode()),
        ("tracestate", b"congo=t61rcWkgMzE,rojo=00f067aa0ba902b7"),
    )
    assert read_context(SENT.encode()) == TraceContext(TRACE, SPAN)
    assert trace_headers(read_context(SENT)) == (("traceparent", SENT.encode()),)
    assert trace_headers(None) == ()


@pytest.mark.parametrize(
    ("flags", "is_sampled", "kept"), [("00", False, 0), ("01", True, 1), ("02", False, 2), ("ff", True, 3)]
)
def test_flags_that_nobody_knows_are_not_carried_on(flags, is_sampled, kept):
    context = read_context(f"00-{TRACE}-{SPAN}-{flags}")

    assert (context.is_sampled, context.flags) == (is_sampled, kept)


def test_a_later_version_may_have_more_to_say():
    assert read_context(f"01-{TRACE}-{SPAN}-01-what-comes-then") == TraceContext(TRACE, SPAN)
    assert read_context(f"cc-{TRACE}-{SPAN}-01") == TraceContext(TRACE, SPAN)


@pytest.mark.parametrize(
    "hostile",
    [
        "", "00", "garbage", SENT[:-1], SENT + "-more", SENT + "0", f"ff-{TRACE}-{SPAN}-01",
        f"01-{TRACE}-{SPAN}-01more", SENT.upper(), f" {SENT}", f"{SENT}\n", f"{SENT}\r\nset-cookie: a=b",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01", f"00-{TRACE[:-1]}g-{SPAN}-01", f"00_{TRACE}_{SPAN}_01", "٠٠-" + SENT[3:],
        f"01-{TRACE}-{SPAN}-01-" + "x" * 1000, "0" * 1_000_000, b"\xff\xfe", SENT.encode() + b"\x00", None,
    ],
)  # fmt: skip
def test_what_breaks_the_rules_is_no_context(hostile):
    assert read_context(hostile) is None


@pytest.mark.parametrize(
    "state",
    [
        "nokey",
        "K=1",
        "a=1,a=2",
        "a=\x01",
        "a=" + "x" * 257,
        "x" * 600,
        ",".join(f"k{n}=1" for n in range(33)),
        "a=1\r\nb: 2",
    ],
)
def test_a_broken_state_is_left_out_and_its_context_is_not(state):
    assert read_context(SENT, state) == TraceContext(TRACE, SPAN)


@given(st.text(max_size=80) | st.binary(max_size=80), st.text(max_size=80) | st.binary(max_size=80))
def test_no_header_raises(traceparent, tracestate):
    read_context(traceparent, tracestate)
    context = read_context(SENT, tracestate)
    assert read_context(context.traceparent, context.state) == context


def test_of_many_those_count_that_are_sampled_each_once():
    other = f"00-{'1' * 32}-{SPAN}-01"
    quiet = f"00-{'2' * 32}-{SPAN}-00"

    assert sampled_contexts([SENT, SENT.encode(), quiet, b"\xff", other], 10) == [
        TraceContext(TRACE, SPAN), TraceContext("1" * 32, SPAN)
    ]  # fmt: skip
    assert sampled_contexts([SENT, other], 1) == [TraceContext(TRACE, SPAN)]
