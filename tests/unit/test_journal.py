"""What was in the predictor when the whole worker was killed is suspect at its next start."""

from hypothesis import given
from hypothesis import strategies as st

from stream_infer.errors import Stage
from stream_infer.records import Output, Position
from stream_infer.worker.journal import MOST_KEPT, STRIKES, CrashJournal
from tests.support.worker_bench import TOPICS, WorkerBench

HERE = [Position("t", 0, offset) for offset in range(10)]


def journal(folder, place_of=lambda token: HERE[token] if token < len(HERE) else None, **state):
    """One whose tokens are offsets of one partition, where no other place is given of each."""

    def offsets_of(tokens):
        offsets = {}
        for topic, partition, offset in filter(None, map(place_of, tokens)):
            offsets.setdefault((topic, partition), []).append(offset)
        return offsets

    return CrashJournal(folder / "journal" / "slot.json", offsets_of, **state)


def condemn(folder, **state):
    """An item that was alone at as many ends of the worker as it takes."""
    for _ in range(STRIKES):
        journal(folder, **state).begun(1, [0], alone=True)


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


def test_a_suspect_is_one_until_the_group_has_passed_it_and_not_only_until_its_verdict(tmp_path):
    condemn(tmp_path)
    worker = journal(tmp_path)
    assert worker.suspects.verdict(HERE[0]) is not None
    assert worker.suspects.verdict(HERE[0]) is not None  # its dead letter was not delivered, and it is read again
    worker.suspects.passed(("t", 1), 9)
    worker.suspects.passed(("u", 0), 9)
    worker.suspects.passed(("t", 0), 0)
    assert worker.suspects.has(HERE[0])
    worker.suspects.passed(("t", 0), 1)
    assert not worker.suspects
    worker.close()
    assert not journal(tmp_path).suspects


def test_suspects_of_a_partition_that_was_taken_away_are_forgotten(tmp_path):
    places = [Position("t", partition, 7) for partition in range(3)]
    journal(tmp_path, places.__getitem__).begun(1, [0, 1, 2], alone=False)
    worker = journal(tmp_path)
    worker.suspects.forget([("t", 0), ("t", 2)])
    assert [worker.suspects.has(place) for place in places] == [False, True, False]


def test_a_worker_settles_what_it_has_delivered_and_what_it_gives_back():
    mine, theirs = Position(TOPICS.items, 0, 0), Position(TOPICS.items, 0, 1)
    bench = WorkerBench(Output, strikes={mine: STRIKES, theirs: 1, Position(TOPICS.items, 5, 0): 1})
    bench.feed(b"the culprit")
    bench.run()
    [letter] = bench.written(TOPICS.dlq)
    assert (letter.value, bench.engine.called) == (b"the culprit", [])
    assert (bench.suspects.has(mine), bench.suspects.has(theirs)) == (False, True)
    bench.loop.revoked([(TOPICS.items, 0)])
    assert not bench.suspects.has(theirs)
    bench.loop.lost([(TOPICS.items, 5)])
    assert not bench.suspects


def test_a_topic_that_was_made_anew_has_no_suspects(tmp_path):
    """Its offsets begin anew: another item is at the place of the one that took workers down."""
    condemn(tmp_path, topic_ids={"t": "first", "u": "other"})
    assert journal(tmp_path, topic_ids={"t": "first"}).suspects.verdict(HERE[0]) is not None
    assert not journal(tmp_path, topic_ids={"t": "second", "u": "other"}).suspects


def test_a_call_writes_down_itself_and_no_suspects(tmp_path):
    """200 kills with 64 items each were 296 kB and 41 ms at every call."""
    for kill in range(200):
        journal(tmp_path, lambda token, kill=kill: Position("t", 0, 64 * kill + token)).begun(1, range(64), alone=False)
    now = [0.0]
    worker = journal(tmp_path, lambda token: Position("t", 1, token), clock=lambda: now[0])
    assert len(worker.suspects.as_list()) == MOST_KEPT + 64
    suspects = tmp_path / "journal" / "slot.suspects.json"
    written = suspects.stat().st_ino
    worker.begun(1, range(64), alone=False)
    assert (tmp_path / "journal" / "slot.json").stat().st_size < 500
    worker.ended(1)
    now[0] = 10.0
    worker.begun(2, [0], alone=True)
    worker.ended(2)
    assert suspects.stat().st_ino == written  # nothing has changed
    worker.suspects.passed(("t", 0), 64 * 199)
    worker.begun(3, range(64), alone=False)
    worker.ended(3)
    assert suspects.stat().st_ino != written
    assert len(journal(tmp_path).suspects.as_list()) == 64


def test_of_many_suspects_the_latest_are_kept(tmp_path):
    places = [Position("t", 0, offset) for offset in range(MOST_KEPT + 50)]
    journal(tmp_path, places.__getitem__).begun(1, range(len(places)), alone=False)
    first = journal(tmp_path, lambda _: Position("t", 9, 9))
    assert len(first.suspects.as_list()) == len(places)  # of the last end all, however many
    first.begun(1, [0], alone=False)
    second = journal(tmp_path).suspects
    assert len(second.as_list()) == MOST_KEPT + 1
    assert second.has(Position("t", 9, 9))
    assert (second.has(places[49]), second.has(places[50])) == (False, True)


@given(st.binary(max_size=200))
def test_whatever_lies_in_the_file_names_nobody_or_somebody(tmp_path_factory, content):
    folder = tmp_path_factory.mktemp("journal")
    (folder / "journal").mkdir()
    (folder / "journal" / "slot.json").write_bytes(b"%010d" % len(content) + content)
    (folder / "journal" / "slot.suspects.json").write_bytes(content)
    made = journal(folder)
    made.close()
