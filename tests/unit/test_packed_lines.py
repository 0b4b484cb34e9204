"""Lines in columns are the lines that were put in."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from stream_infer.sink.packed_lines import Line, PackedLines

lines = st.lists(
    st.builds(
        Line,
        offset=st.integers(0, 2**62),
        ordinal=st.none() | st.integers(0, 10**18 - 1),
        data=st.binary(max_size=30),
    ),
    max_size=12,
)


def as_ordered(some: list[Line]) -> list[Line]:
    return sorted(some, key=lambda line: (line.ordinal is None, line.ordinal or 0, line.offset))


@given(lines)
def test_what_was_packed_comes_out_again(some: list[Line]) -> None:
    packed = PackedLines(some)

    assert list(packed) == some
    assert packed.body == b"".join(line.data for line in some)


@given(lines)
def test_they_stand_by_ordinal_and_those_without_one_last_by_offset(some: list[Line]) -> None:
    assert list(PackedLines(some).in_order()) == as_ordered(some)
    assert list(PackedLines(as_ordered(some)).in_order()) == as_ordered(some)


@given(lines.filter(bool))
def test_the_lowest_and_highest_offset_and_ordinal_are_known(some: list[Line]) -> None:
    packed = PackedLines(some)
    ordinals = [line.ordinal for line in some if line.ordinal is not None]

    assert packed.offsets == (min(line.offset for line in some), max(line.offset for line in some))
    assert packed.ordinals == (min(ordinals, default=None), max(ordinals, default=None))


@given(lines.filter(bool), st.integers(1, 60))
def test_a_split_loses_nothing_and_only_a_line_alone_is_larger(some: list[Line], most: int) -> None:
    parts = list(PackedLines(some).split(most))

    assert [line for part in parts for line in part] == some
    assert all(len(part.body) <= most or len(part) == 1 for part in parts)
    for part, after in pairwise(parts):
        assert len(part.body) + len(after[0].data) > most, "it was split where it had to be"


def test_a_line_larger_than_an_object_stands_alone() -> None:
    some = [Line(0, None, b"{}\n"), Line(1, None, b"x" * 50), Line(2, None, b"{}\n")]

    assert [len(part) for part in PackedLines(some).split(10)] == [1, 1, 1]
