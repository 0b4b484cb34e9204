"""What the parent sends is what the child reads, however it comes; and how the parent waits for what the child says."""

import socket
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_infer.engine.wire import BrokenWire, FrameReader, MessageReader, pack

# Around what the reader's buffer holds: a body, and a body with its header.
SIZES = st.integers(0, 300) | st.integers(65_400, 65_600) | st.integers(100_000, 200_000)


def read_all(sent: list[bytes]) -> list[tuple[object, ...]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:

        def send() -> None:
            for piece in sent:
                theirs.sendall(piece)
            theirs.shutdown(socket.SHUT_WR)

        sender = threading.Thread(target=send)
        sender.start()
        reader = MessageReader(ours)
        messages = list(iter(reader.next, None))
        sender.join()
    return messages


@given(st.lists(SIZES, max_size=6), st.lists(st.integers(1, 70_000), max_size=6))
def test_messages_of_any_size_in_any_pieces_are_read_in_their_order(sizes: list[int], cuts: list[int]) -> None:
    messages = [(number, b"%d" % number * size) for number, size in enumerate(sizes)]
    left = b"".join(b"".join(pack(message)) for message in messages)
    pieces = []
    for cut in cuts:
        pieces.append(left[:cut])
        left = left[cut:]

    assert read_all([*pieces, left]) == messages


def test_an_end_within_a_message_is_an_end() -> None:
    whole = b"".join(pack((1, b"x" * 100)))
    large = b"".join(pack((1, b"x" * 100_000)))

    assert read_all([whole, whole[:-1]]) == [(1, b"x" * 100)]
    assert read_all([whole, whole[:5]]) == [(1, b"x" * 100)]
    assert read_all([large[:-1]]) == []


def test_what_is_no_frame_is_a_broken_wire() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(b"\0" * 12)
        with pytest.raises(BrokenWire):
            MessageReader(ours).next()


def test_the_parent_waits_for_a_moment_and_then_reads_what_came_meanwhile() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        reader = FrameReader(ours)
        reader.wait()
        assert list(reader.read()) == []

        theirs.sendall(b"".join(pack((1,))) + b"".join(pack((2,)))[:5])
        reader.wait()
        theirs.sendall(b"".join(pack((2,)))[5:])
        reader.wait()  # it has something to read already
        assert list(reader.read()) == [(1,)]
        assert list(reader.read()) == [(2,)]

        theirs.close()
        reader.wait()
        assert list(reader.read()) == []
        assert reader.ended
