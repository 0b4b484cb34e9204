"""When a partition's buffers are closed, and at which position. Time is an argument."""

from stream_infer.settings import SinkSettings
from stream_infer.sink.buffers import PartitionBuffer
from stream_infer.sink.names import Destination
from stream_infer.sink.packed_lines import Line

POLICY = SinkSettings(flush_bytes=1000, flush_age=10, eof_linger=0.5)
JOB = Destination("j")


def line(offset: int, size: int = 10) -> Line:
    return Line(offset, None, b"x" * size)


def buffer_at(offset: int) -> PartitionBuffer:
    buffer = PartitionBuffer()
    buffer.committed(offset)
    return buffer


def test_an_empty_buffer_has_nothing_to_commit() -> None:
    buffer = buffer_at(7)
    buffer.end(7, now=0)

    assert buffer.due_in(POLICY, now=100) is None


def test_a_full_buffer_is_due_at_once() -> None:
    buffer = buffer_at(0)
    buffer.add(JOB, line(0, size=1000), now=0)

    assert buffer.due_in(POLICY, now=0) == 0


def test_a_record_waits_for_more_until_its_age_is_reached() -> None:
    buffer = buffer_at(0)
    buffer.add(JOB, line(0), now=3)
    buffer.add(JOB, line(1), now=9)

    assert buffer.due_in(POLICY, now=10) == 3


def test_once_all_is_read_the_linger_of_the_first_record_decides() -> None:
    buffer = buffer_at(0)
    buffer.add(JOB, line(0), now=3)
    buffer.end(1, now=3.2)

    assert buffer.due_in(POLICY, now=3.25) == 0.25


def test_a_record_behind_the_end_makes_it_wait_again() -> None:
    buffer = buffer_at(0)
    buffer.add(JOB, line(0), now=3)
    buffer.end(1, now=3.2)
    buffer.add(JOB, line(1), now=3.3)

    assert buffer.due_in(POLICY, now=4) == 9


def test_the_position_counts_the_transaction_markers_behind_the_last_record() -> None:
    buffer = buffer_at(0)
    buffer.add(JOB, line(4), now=0)
    buffer.end(6, now=0)

    assert buffer.close().position == 6


def test_markers_alone_are_committed_too() -> None:
    buffer = buffer_at(6)
    buffer.end(9, now=1)

    assert buffer.due_in(POLICY, now=1) == 0.5
    closed = buffer.close()
    assert (closed.lines, closed.position) == ({}, 9)
    assert buffer.due_in(POLICY, now=100) is None


def test_what_comes_after_closing_has_an_age_of_its_own() -> None:
    buffer = buffer_at(0)
    buffer.add(JOB, line(0), now=0)
    buffer.close()
    buffer.add(JOB, line(1), now=20)

    assert buffer.due_in(POLICY, now=21) == 9
    assert {whose: list(lines) for whose, lines in buffer.close().lines.items()} == {JOB: [line(1)]}


def test_what_a_job_waits_for_does_not_wait_for_its_age_and_closes_once_a_second_at_most() -> None:
    buffer = buffer_at(0)
    buffer.add(JOB, line(0), now=0)
    buffer.add(Destination("million"), line(1), now=0.2)

    assert buffer.due_in(POLICY, now=0.25) == 9.75
    assert buffer.due_in(POLICY, now=0.25, awaited={"another"}) == 9.75
    assert buffer.due_in(POLICY, now=0.25, awaited={"j"}) == 0.75
    buffer.close()
    buffer.add(Destination("million"), line(2), now=1.0)
    assert buffer.due_in(POLICY, now=1.0, awaited={"j"}) == 10.0, "nothing of it is here"


def test_what_a_job_waits_for_waits_no_longer_than_at_the_end_of_a_partition_or_its_age() -> None:
    buffer = buffer_at(0)
    buffer.add(JOB, line(0), now=0)

    assert buffer.due_in(SinkSettings(flush_age=0.1), now=0, awaited={"j"}) == 0.1
    assert buffer.due_in(SinkSettings(eof_linger=3.0), now=0, awaited={"j"}) == 3.0
