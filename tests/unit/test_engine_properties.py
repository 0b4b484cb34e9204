"""Batcher, isolation and cap together, in any order of what can happen to them: no task is lost, doubled or starved.

The child is made of rules, and what becomes of an item is written on it: each answer can be told right or wrong.
"""

import itertools
import logging
from collections import Counter

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from stream_infer.engine.batcher import Batcher
from stream_infer.engine.calls import message_for
from stream_infer.engine.court import Court
from stream_infer.engine.failures import describe
from stream_infer.engine.isolation import (
    DEATHS_ALONE,
    Died,
    Exhausted,
    OutOfMemory,
    PredictorCrashed,
    PredictorTimedOut,
)
from stream_infer.engine.policy import EnginePolicy
from stream_infer.engine.task import Scope, Task, size_of
from stream_infer.engine.wire import ToChild, ToParent, pack_failure
from stream_infer.errors import Stage
from stream_infer.predictors.protocol import WrongNumberOfOutputs
from stream_infer.records import Failure, Output, Payload

ROOM = 10
MAX_BYTES = 12
POISON = pack_failure(describe(ValueError("poison"), Stage.PREDICT))
GARBLED = pack_failure(describe(ValueError("garbled"), Stage.DECODE))
NO_ROOM = pack_failure(describe(MemoryError("no room"), Stage.PREDICT))
BUSY = pack_failure(Failure(Stage.PREDICT, "x.Busy", "busy", retryable=True))
ENDS_AS = {"crash": PredictorCrashed, "hang": PredictorTimedOut, "too few": WrongNumberOfOutputs}

# How much of the room an item takes, or what it does to its micro-batch. Good ones are the rule.
DEEDS = st.one_of(
    st.integers(0, 4), st.integers(0, ROOM + 2), st.sampled_from(["raise", "garbled", "busy", *ENDS_AS, "hook"])
)
SCOPES = [None, None, Scope("a"), Scope("b", 1, 2, b"{}")]
ITEMS = st.lists(st.tuples(DEEDS, st.integers(0, MAX_BYTES + 2), st.sampled_from(SCOPES)), max_size=9)


@pytest.fixture(autouse=True)
def quiet(caplog):
    caplog.set_level(logging.ERROR, "stream_infer.engine.court")


class InChild:
    """A journal: what it was told of last."""

    def __init__(self):
        self.open = {}

    def begun(self, call_id, tokens, *, alone):
        assert call_id not in self.open
        self.open[call_id] = list(tokens)

    def ended(self, call_id):
        del self.open[call_id]


class EngineMachine(RuleBasedStateMachine):
    """`Engine` without its process: what it does with batcher and court is done here, one thing at a time."""

    @initialize(size=st.integers(1, 6), depth=st.integers(1, 3))
    def begin(self, size, depth):
        policy = EnginePolicy(
            max_batch_size=size, max_batch_bytes=MAX_BYTES, pipeline_depth=depth, max_wait_s=1.0, call_timeout_s=50.0,
            hook_timeout_s=50.0, oom_cap_s=20.0,
        )  # fmt: skip
        self.policy = policy
        self.journal = InChild()
        self.batcher, self.court = Batcher(policy), Court(policy, self.journal)
        self.dispatch = self.court.dispatch
        self.now = 0.0
        self.tokens = itertools.count()
        self.deeds = {}
        self.open = {}  # token -> task, as the engine owes an answer for it
        self.taken_back = []
        self.busy = set()  # were in a call that a passing fault has ended
        self.unlucky = Counter()  # how often they were alone in a child that somebody else has killed
        self.child = []

    # What the worker does.

    @rule(items=ITEMS, suspect=st.sampled_from([False, False, False, True]))
    def submit(self, items, suspect):
        tasks = []
        for deed, size, scope in items:
            token = next(self.tokens)
            self.deeds[token] = deed
            hook = "job" if deed == "hook" else None
            tasks.append(Task(token, Payload(b"." * size), scope, hook, suspect=suspect and hook is None))
        self._submit(tasks)

    @precondition(lambda self: self.taken_back)
    @rule(count=st.integers(1, 4))
    def submit_again(self, count):
        tasks, self.taken_back = self.taken_back[:count], self.taken_back[count:]
        self._submit(tasks)

    @rule(seed=st.integers(0, 7), everything=st.sampled_from([False, False, True]))
    def withdraw(self, seed, everything):
        tokens = None if everything else {token for token in self.deeds if token % 8 in (seed, (seed + 3) % 8)}
        inside = {token for tokens in self.journal.open.values() for token in tokens}
        expected = {token for token in self.open if (everything or token in tokens) and token not in inside}
        suspects = {task.token for call in self.dispatch._suspects for task in call.tasks}
        tasks = self.dispatch.withdraw(tokens) + self.batcher.withdraw(tokens)
        self.court.settle(tasks)
        assert Counter(task.token for task in tasks) == Counter(expected)
        assert {task.token for task in tasks if task.suspect} == suspects & expected
        for task in tasks:
            del self.open[task.token]
        self.taken_back += tasks

    @rule(seconds=st.sampled_from([0.1, 0.6, 1.0, 7.0]))
    def wait(self, seconds):
        self.now += seconds
        while (batch := self.batcher.close_due(self.now)) is not None:
            self.dispatch.add(batch)
        assert self.batcher.next_deadline() > self.now

    @rule()
    def give_an_idle_model_what_there_is(self):
        if self.dispatch.idle and (batch := self.batcher.close_oldest()):
            self.dispatch.add(batch)

    # What happens in the child.

    @rule()
    def hand_over(self):
        while (call := self.court.next_call(self.now)) is not None:
            self._check_call(call)
            self.child.append(call)

    @precondition(lambda self: self.child)
    @rule(which=st.integers(0, 2))
    def prepare(self, which):
        call = self.child[which % len(self.child)]
        assert not self.court.hear((ToParent.PREPARES, call.id), "p", self.now)

    @precondition(lambda self: self.child)
    @rule(by_guard=st.booleans())
    def run_the_first_call(self, by_guard):
        call = self.child[0]
        self.court.hear((ToParent.BEGINS, call.id), "p", self.now)
        deeds = [self.deeds[task.token] for task in call.tasks]
        rejected = {index: GARBLED for index, deed in enumerate(deeds) if deed == "garbled"}
        if "crash" in deeds:
            self._lose(Died("was killed by SIGSEGV", ""), call)
        elif "hang" in deeds:
            self.now = self.dispatch.next_deadline()
            assert self.dispatch.overrun(self.now) is call
            self._lose(Died("hung", "", timed_out=True), call)
        elif (used := sum(deed for deed in deeds if isinstance(deed, int))) > ROOM:
            left = [task.token for task in call.tasks if self.deeds[task.token] != "garbled"]
            if by_guard and not rejected:
                self._lose(Exhausted(Failure(Stage.PREDICT, "builtins.MemoryError", f"{used} used")), call)
            else:
                self._hear((ToParent.EXHAUSTED, call.id, NO_ROOM, rejected))
            assert len(deeds) == 1 or self.court.cap.current(self.now) <= len(deeds) // 2
            assert call.alone or self.open.keys() >= set(left), "nobody is too large who was not alone"
        elif "busy" in deeds:
            self.busy |= {task.token for task in call.tasks}
            self._hear((ToParent.RAISED, call.id, BUSY, rejected))
        elif "raise" in deeds:
            self._hear((ToParent.RAISED, call.id, POISON, rejected))
        elif "too few" in deeds:
            self._hear((ToParent.MISCOUNTED, call.id, "too few", rejected))
        else:
            self._hear((ToParent.DONE, call.id, [b"1"] * len(deeds), "text/plain", rejected, 1.0))

    @rule()
    def somebody_kills_the_child(self):
        self.unlucky.update(task.token for call in self.child if call.alone for task in call.tasks)
        self._lose(Died("was killed by SIGKILL", "", killed=True), None)

    @rule()
    def restart(self):
        self.child.clear()
        self.court.recall()

    # What holds at any time.

    @invariant()
    def every_open_task_is_in_one_place(self):
        batches = [batch.tasks for batch in self.batcher._open.values()]
        calls = [*self.dispatch._waiting, *self.dispatch._suspects, *self.dispatch.in_child()]
        places = [task.token for tasks in [*batches, *(call.tasks for call in calls)] for task in tasks]
        assert Counter(places) == Counter(self.open.keys())
        assert (self.court.in_flight, self.court.in_flight_bytes) == (len(self.open), size_of(self.open.values()))

    @invariant()
    def the_journal_knows_what_is_in_the_child(self):
        assert self.journal.open == {call.id: [task.token for task in call.tasks] for call in self.child}

    def teardown(self):
        """The rest ends, though more comes all the time; then there is nothing left, and the cap grows back."""
        if not hasattr(self, "court"):
            return
        self._submit(self.taken_back)
        old = set(self.open)
        turns = 0
        while old & set(self.open):
            turns += 1
            assert turns <= 12 * len(old) + 30, "somebody starves"
            self.submit([(1, 1, None)], suspect=False)
            self.wait(1.0)
            self.hand_over()
            self.run_the_first_call(by_guard=False)
        while self.open:
            self.wait(1.0)
            self.hand_over()
            self.run_the_first_call(by_guard=True)
        assert not self.batcher and self.dispatch.idle and not self.journal.open
        self.every_open_task_is_in_one_place()
        full = self.policy.max_batch_size
        assert self.court.cap.current(self.now + self.policy.oom_cap_s * full.bit_length()) == full

    # Steps.

    def _submit(self, tasks):
        self.open |= {task.token: task for task in tasks}
        self.court.admit(tasks)
        for batch in self.batcher.add(tasks, self.now):
            self.dispatch.add(batch)

    def _hear(self, message):
        assert self.court.hear(message, "p", self.now)
        self.child.pop(0)
        self._take_answers()

    def _lose(self, ending, only):
        self.child.clear()
        self.court.lose(ending, only, self.now)
        self._take_answers()

    def _check_call(self, call):
        kinds = {task.scope for task in call.tasks}
        assert len(kinds) == 1
        assert 1 <= len(call.tasks) <= self.court.cap.current(self.now)
        assert size_of(call.tasks) <= MAX_BYTES or len(call.tasks) == 1
        assert len(self.child) < self.policy.pipeline_depth
        assert not (call.alone and self.child) and not any(other.alone for other in self.child)
        if call.suspect or any(task.suspect or task.hook for task in call.tasks):
            assert call.alone and len(call.tasks) == 1
        is_hook = message_for(call)[0] == ToChild.HOOK
        assert is_hook == any(task.hook is not None for task in call.tasks)

    def _take_answers(self):
        answers, self.court.answers = self.court.answers, []
        for token, outcome in answers:
            del self.open[token]
            self._check_answer(token, outcome)

    def _check_answer(self, token, outcome):
        deed = self.deeds[token]
        if isinstance(outcome, Output):
            assert deed == "hook" or (isinstance(deed, int) and deed <= ROOM)
        elif outcome.retryable:
            assert token in self.busy
        elif outcome.exception.endswith(PredictorCrashed.__name__) and deed != "crash":
            assert outcome.final
            assert self.unlucky[token] >= DEATHS_ALONE
        elif isinstance(deed, int):
            assert deed > ROOM
            assert "alone" in outcome.message and outcome.final
            assert outcome.exception in ("builtins.MemoryError", "MemoryError", OutOfMemory.__name__)
        elif deed in ("raise", "garbled"):
            assert (outcome.message, outcome.final) == {"raise": ("poison", False), "garbled": ("garbled", True)}[deed]
        else:
            assert outcome.final and outcome.exception.endswith(ENDS_AS[deed].__name__)


TestEngine = EngineMachine.TestCase
TestEngine.settings = settings(max_examples=100, stateful_step_count=40)
