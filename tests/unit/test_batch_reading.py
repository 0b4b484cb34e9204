"""Files are read ahead, each once, and never more than there is room for."""

import threading

import pytest

from stream_infer.batch.reading import Reader, ReadLimits
from stream_infer.errors import RefusedItem, RetryableError, SourceError
from stream_infer.records import Failure, Payload

KEYS = [b"%03d" % number for number in range(300)]


class Bench:
    """A reader whose files are taken as a loop would."""

    def __init__(self, keys, read, files=10, size=10**9):
        self.news = threading.Event()
        self.reader = Reader(iter(keys), read, ReadLimits(3, files, size), self.news.set)
        self.reader.start()

    def take(self):
        assert self.news.wait(10) or self.reader.is_over
        self.news.clear()
        return self.reader.take()

    def all(self):
        found = []
        while not self.reader.is_over:
            read = self.take()
            found += read
            size = sum(len(one.outcome.data) for one in read if isinstance(one.outcome, Payload))
            self.reader.release(len(read), size)
        return found


def test_each_file_is_read_once_and_numbered_in_order():
    bench = Bench(KEYS, lambda key: Payload(key, "text/plain"))
    found = bench.all()

    assert bench.reader.reached_end
    assert sorted((read.ordinal, read.key, read.outcome.data) for read in found) == [
        (number, key, key) for number, key in enumerate(KEYS)
    ]


def test_no_more_files_are_taken_than_may_wait():
    taken = []

    def keys():
        for key in KEYS:
            taken.append(key)
            yield key

    bench = Bench(keys(), lambda key: Payload(key, "text/plain"), files=10)
    found = 0
    while found < 10:
        found += len(bench.take())

    assert len(taken) == 10
    bench.reader.release(4, 0)
    while found < 14:
        found += len(bench.take())
    assert len(taken) == 14
    bench.reader.stop()


def test_while_too_many_bytes_are_held_nothing_more_is_taken():
    bench = Bench(KEYS, lambda key: Payload(b"x" * 1000, "text/plain"), files=1, size=500)

    assert len(bench.take()) == 1
    bench.reader.release(1, 0)
    assert bench.reader.pending == 0
    bench.reader.release(0, 1000)
    assert len(bench.take()) == 1
    bench.reader.stop()


def test_a_file_that_cannot_be_read_fails_alone():
    def read(key):
        if key == b"007":
            raise RefusedItem("007 is secret")
        return Payload(key, "text/plain")

    found = {read.key: read.outcome for read in Bench(KEYS[:9], read, files=100).all()}

    assert isinstance(found.pop(b"007"), Failure)
    assert all(isinstance(outcome, Payload) for outcome in found.values())


def test_a_passing_fault_is_waited_for(monkeypatch):
    monkeypatch.setattr("stream_infer.batch.reading._PAUSES_S", (0, 0))
    faults = [RetryableError("busy"), RetryableError("busy")]

    def read(key):
        if faults:
            raise faults.pop()
        return Payload(key, "text/plain")

    assert isinstance(Bench(KEYS[:1], read).all()[0].outcome, Payload)


def test_a_listing_that_breaks_off_is_said_behind_what_was_read():
    def keys():
        yield from KEYS[:5]
        raise SourceError("the folder is gone")

    bench = Bench(keys(), lambda key: Payload(key, "text/plain"))
    found = bench.all()

    assert len(found) in (0, 5)  # those of the chunk that it broke off in are not taken
    assert str(bench.reader.fault) == "the folder is gone"


@pytest.mark.parametrize("when", ["before", "while it waits for room"])
def test_stopped_it_hands_over_what_it_has_taken_and_no_more(when):
    bench = Bench(KEYS, lambda key: Payload(key, "text/plain"), files=5)
    found = 0
    if when != "before":
        while found < 5:
            found += len(bench.take())
    bench.reader.stop()
    while not bench.reader.is_over:
        found += len(bench.take())

    assert found <= 5
    assert not bench.reader.reached_end
    assert bench.reader.fault is None
