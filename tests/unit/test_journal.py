"""What was in the predictor when the whole worker was killed is suspect at its next start."""

from hypothesis import given
from hypothesis import strategies as st

from stream_infer.errors import Stage
from stream_infer.records import Position
from stream_infer.worker.journal import STRIKES, CrashJournal

HERE = [Position("t", 0, offset) for offset in range(10)]


def journal(folder):
    """One whose tokens are offsets of one partition."""
    return CrashJournal(folder / "journal" / "slot.json", lambda token: HERE[token] if token < len(HERE) else None)


def test_items_of_a_call_that_was_not_answered_are_suspects(tmp_path):
    first = journal(tmp_path)
    first.begun(1, [0, 1, 2], alone=False)
    first.begun(2, [3], alone=False)
    first.ended(1)
    again = journal(tmp_path).suspects
    assert [position for position in HERE if again.has(position)] == [HERE[3]]
    assert again.verdict(HERE[3]) is None


def test_an_orderly_end_leaves_no_suspects(tmp_path):
    first = journal(tmp_path)
    first.begun(1, [0], alone=False)
    first.close()
    assert not journal(tmp_path).suspects


def test_a_suspect_that_was_answered_is_none_any_more(tmp_path):
    journal(tmp_path).begun(1, [0, 1], alone=False)
    second = journal(tmp_path)
    second.begun(1, [0], alone=True)
    second.ended(1)
    assert not second.suspects.has(HERE[0])
    assert second.suspects.has(HERE[1])
    assert not journal(tmp_path).suspects.has(HERE[0])


def test_an_item_that_was_alone_at_two_ends_of_the_worker_is_rejected_unseen(tmp_path):
    journal(tmp_path).begun(1, [0, 1], alone=False)
    for strike in range(STRIKES):
        worker = journal(tmp_path)
        assert worker.suspects.verdict(HERE[0]) is None, strike
        worker.begun(1, [0], alone=True)
    suspects = journal(tmp_path).suspects
    verdict = suspects.verdict(HERE[0])
    assert verdict is not None
    assert (verdict.stage, verdict.final) == (Stage.PREDICT, True)
    assert "killed 2 times with this item alone" in verdict.message
    assert suspects.verdict(HERE[1]) is None


@given(st.binary(max_size=200))
def test_whatever_lies_in_the_file_names_nobody_or_somebody(tmp_path_factory, content):
    folder = tmp_path_factory.mktemp("journal")
    (folder / "journal").mkdir()
    (folder / "journal" / "slot.json").write_bytes(content)
    made = journal(folder)
    made.close()
