"""What a sink flushes when: time is an argument."""

from stream_infer.jobs.manifest import Kind
from stream_infer.pool import DaemonPool
from stream_infer.settings import SinkSettings
from stream_infer.sink.flush import Outlet, plan_flush
from stream_infer.sink.names import Destination
from stream_infer.sink.packed_lines import Line
from stream_infer.sink.share import Share, Shares
from stream_infer.sink.upload import Upload
from tests.support.memory_store import MemoryStore

POLICY = SinkSettings(flush_bytes=1000, flush_age=10, eof_linger=0.5)


def shares_of(*sizes: int) -> Shares:
    """Each partition with one line of so many bytes, read at 0 s."""
    shares = Shares()
    shares.assigned([("r", number) for number in range(len(sizes))])
    for share, size in zip(shares.owned.values(), sizes, strict=True):
        share.is_settled = True
        share.buffer.committed(0)
        if size:
            share.buffer.add(Destination("j"), Line(0, 0, b"x" * size), now=0)
    return shares


def numbers(flushed: list[Share]) -> list[int]:
    return [share.partition[1] for share in flushed]


def test_what_is_full_is_flushed_at_once_and_the_others_at_their_age() -> None:
    shares = shares_of(1000, 10, 0)

    assert numbers(shares.to_flush(POLICY, 1, draining=False)) == [0]
    assert numbers(shares.to_flush(POLICY, 10, draining=False)) == [0, 1]


def test_everything_is_flushed_at_an_end() -> None:
    assert numbers(shares_of(10, 0, 10).to_flush(POLICY, 1, draining=True)) == [0, 2]


def test_while_nothing_is_read_nothing_waits_for_its_age() -> None:
    shares = shares_of(700, 700, 700, 700, 0)
    assert shares.to_flush(POLICY, 1, draining=False) == []

    shares.paused.update(shares.owned)

    assert numbers(shares.to_flush(POLICY, 1, draining=False)) == [0, 1, 2, 3]


def test_while_something_is_on_its_way_to_the_store_there_will_be_room_without_that() -> None:
    shares = shares_of(700, 700)
    shares.paused.update(shares.owned)
    first = shares.owned["r", 0]
    plan = plan_flush(Outlet("echo", Kind.RESULTS), first.partition, first.buffer.close(), "a" * 12, 1000)
    first.upload = Upload(plan, MemoryStore(), DaemonPool(1, "upload"))

    assert shares.to_flush(POLICY, 1, draining=False) == []
