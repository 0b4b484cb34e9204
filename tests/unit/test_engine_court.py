"""Calls from their beginning to their end, with a child made of rules: nothing is lost, doubled or wrongly blamed."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from stream_infer.engine.court import Court
from stream_infer.engine.failures import describe
from stream_infer.engine.isolation import DEATHS_ALONE, Died, PredictorCrashed
from stream_infer.engine.policy import EnginePolicy
from stream_infer.engine.task import Task
from stream_infer.engine.wire import ToParent, pack_failure
from stream_infer.errors import Stage
from stream_infer.records import Output, Payload

ROOM = 10
OOM = pack_failure(describe(MemoryError("no room"), Stage.PREDICT))
POISON = pack_failure(describe(ValueError("poison"), Stage.PREDICT))

# What an item takes of the room; or what it does to its micro-batch. "kill": the kernel ends the process for it.
ITEMS = st.lists(st.one_of(st.integers(0, ROOM + 3), st.sampled_from(["raise", "crash", "kill"])), max_size=24)
KILLED = Died("was killed by SIGKILL", "", killed=True)


class Journal:
    def __init__(self):
        self.open = {}

    def begun(self, call_id, tokens, *, alone):
        assert call_id not in self.open
        assert not alone or (len(tokens) == 1 and not self.open)
        self.open[call_id] = tokens

    def ended(self, call_id):
        del self.open[call_id]


class Child:
    """Predicts one call of the court at a time, by the rules. `kills`: what does not fit is not told, but killed."""

    def __init__(self, court, values, kills=False):
        self.court = court
        self.kills = kills
        self.alone = Counter()
        self.values = values
        self.now = 0.0
        self.inside = []

    def turn(self):
        while (call := self.court.next_call(self.now)) is not None:
            assert len(call.tasks) <= self.court.cap.current(self.now)
            self.inside.append(call)
        if not self.inside:
            return False
        self.now += 1.0
        call = self.inside.pop(0)
        self.court.hear((ToParent.BEGINS, call.id), "p", self.now)
        values = [self.values[task.token] for task in call.tasks]
        if "crash" in values:
            self.inside.clear()
            assert self.court.lose(Died("was killed by SIGSEGV", ""), None, self.now) == 1
        elif "kill" in values or (self.kills and "raise" not in values and sum(values) > ROOM):
            self.kill(call)
        elif "raise" in values:
            self.court.hear((ToParent.RAISED, call.id, POISON, {}), "p", self.now)
        elif sum(values) > ROOM:
            self.court.hear((ToParent.EXHAUSTED, call.id, OOM, {}), "p", self.now)
        else:
            self.court.hear((ToParent.DONE, call.id, [b"1"] * len(values), "text/plain", {}, 1.0), "p", self.now)
        return True

    def kill(self, call):
        self.inside.clear()
        assert self.court.lose(KILLED, None, self.now) == 1
        if call.alone:
            self.alone[call.tasks[0].token] += 1
        if len(call.tasks) > 1:
            assert self.court.cap.current(self.now) <= len(call.tasks) // 2


def court_of(values, size, suspects=()):
    court = Court(EnginePolicy(max_batch_size=size, pipeline_depth=2, oom_cap_s=20.0), Journal())
    tasks = [Task(token, Payload(b"."), suspect=token in suspects) for token in range(len(values))]
    court.admit(tasks)
    for task in tasks:
        if task.suspect:
            court.dispatch.add([task])
    rest = [task for task in tasks if not task.suspect]
    for start in range(0, len(rest), size):
        court.dispatch.add(rest[start : start + size])
    return court


def check(court, values, killed_alone=None):
    answers = dict(court.answers)
    assert len(answers) == len(court.answers)
    for token, outcome in answers.items():
        value = values[token]
        if value == "raise":
            assert (outcome.message, outcome.final) == ("poison", False)
        elif value == "kill" or (killed_alone and killed_alone[token]):
            assert value == "kill" or value > ROOM
            assert (outcome.exception.endswith(PredictorCrashed.__name__), outcome.final) == (True, True)
            assert killed_alone is None or killed_alone[token] == DEATHS_ALONE
        elif value == "crash":
            assert outcome.exception.endswith(PredictorCrashed.__name__)
            assert outcome.final
        elif value > ROOM:
            assert (outcome.exception, outcome.final) == ("MemoryError", True)
            assert "alone" in outcome.message
        else:
            assert isinstance(outcome, Output)
    return set(answers)


@given(
    values=ITEMS, size=st.integers(1, 16), suspects=st.sets(st.integers(0, 23)), kills=st.sampled_from([False, True])
)
def test_every_item_ends_once_and_for_its_own_reason(values, size, suspects, kills):
    court = court_of(values, size, suspects)
    child = Child(court, values, kills)
    while child.turn():
        pass
    assert check(court, values, child.alone) == set(range(len(values)))
    assert (court.in_flight, court.in_flight_bytes, court.dispatch.idle) == (0, 0, True)


def test_a_kill_from_outside_halves_what_comes_next_and_the_cap_stays_low_for_a_while():
    court = court_of([1] * 32, 16)
    child = Child(court, [1] * 32)
    first = court.next_call(0.0)
    court.hear((ToParent.BEGINS, first.id), "p", 0.0)
    assert court.lose(KILLED, None, 0.0) == 1
    sizes = []
    while (call := court.next_call(1.0)) is not None:
        sizes.append(len(call.tasks))
        child.inside.append(call)
    assert sizes == [8, 8]  # as many as the child may have at once
    assert (court.cap.current(19.0), court.cap.current(21.0)) == (8, 16)
    while child.turn():
        pass
    assert all(isinstance(answer.outcome, Output) for answer in court.answers)
    assert len(court.answers) == 32


@given(values=ITEMS, size=st.integers(1, 16), turns=st.lists(st.integers(0, 6), max_size=5))
def test_what_is_withdrawn_gets_no_answer_here_and_can_be_submitted_again(values, size, turns):
    court = court_of(values, size)
    child = Child(court, values)
    for count in turns:
        for _ in range(count):
            child.turn()
        taken = court.dispatch.withdraw(None)
        court.settle(taken)
        assert not {task.token for task in taken} & {answer.token for answer in court.answers}
        court.admit(taken)
        for task in taken:
            court.dispatch.add([task])
    while child.turn():
        pass
    assert check(court, values) == set(range(len(values)))


@given(values=ITEMS, size=st.integers(1, 16), turns=st.lists(st.integers(0, 6), max_size=5))
def test_a_recall_blames_nobody_and_keeps_everything(values, size, turns):
    court = court_of(values, size)
    child = Child(court, values)
    for count in turns:
        for _ in range(count):
            child.turn()
        child.inside.clear()
        court.recall()
        assert not court._journal.open
    while child.turn():
        pass
    assert check(court, values) == set(range(len(values)))


@given(
    values=ITEMS,
    size=st.integers(1, 16),
    turns=st.integers(0, 6),
    unwanted=st.one_of(st.none(), st.sets(st.integers(0, 23))),
)
def test_what_is_disowned_gets_no_answer_and_no_second_call_and_keeps_nobody_else(values, size, turns, unwanted):
    court = court_of(values, size)
    child = Child(court, values)
    for _ in range(turns):
        child.turn()
    before = {answer.token for answer in court.answers}
    inside = [call.id for call in child.inside]

    court.disown(unwanted)

    gone = set(range(len(values))) if unwanted is None else unwanted
    while (call := court.next_call(child.now)) is not None:
        assert not gone & {task.token for task in call.tasks}
        child.inside.append(call)
    while child.turn():
        assert not [call for call in child.inside if call.id not in inside and gone & {t.token for t in call.tasks}]
    wanted = set(range(len(values))) - gone
    assert check(court, values) == wanted | (before - gone)
    assert (court.in_flight, court.in_flight_bytes, court.dispatch.idle) == (0, 0, True)
    assert not court._disowned


def test_a_disowned_suspect_of_a_crash_does_not_run_again():
    court = court_of(["crash", 1, 1], 3)
    child = Child(court, ["crash", 1, 1])
    child.inside.append(court.next_call(0.0))
    court.disown({0, 1})

    assert child.turn()
    assert [task.token for task in court.next_call(child.now).tasks] == [2]
    assert court.in_flight == 1
