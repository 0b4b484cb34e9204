"""The calls of an engine: which go to the child, what becomes of their tasks, and what memory allows the next ones.

Where `isolation.judge` decides, this carries it out, tells the journal, and keeps count.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Container, Sequence
from typing import Any

from stream_infer.engine.calls import answers_to
from stream_infer.engine.cap import BatchCap
from stream_infer.engine.dispatch import Dispatch
from stream_infer.engine.isolation import Call, Died, Ending, Exhausted, Miscounted, Raised, judge
from stream_infer.engine.journal import Journal
from stream_infer.engine.loads import Loads
from stream_infer.engine.observer import UNOBSERVED, CallEnd, EngineObserver
from stream_infer.engine.policy import EnginePolicy
from stream_infer.engine.task import AlikeAnswers, Answer, Task, size_of, tokens_of, without
from stream_infer.engine.wire import ToParent, read_failure, read_rejected, read_seconds
from stream_infer.records import Failure

log = logging.getLogger(__name__)

_NAMES = {Raised: CallEnd.RAISED, Exhausted: CallEnd.OUT_OF_MEMORY, Miscounted: CallEnd.MISCOUNTED}


class Court:
    """Times are passed in. `in_flight` counts tasks without an answer, `in_flight_bytes` their payloads."""

    def __init__(self, policy: EnginePolicy, journal: Journal | None, observer: EngineObserver = UNOBSERVED) -> None:
        self.dispatch = Dispatch(policy)
        self.loads = Loads(policy)
        self.cap = BatchCap(policy.max_batch_size, policy.oom_cap_s)
        self.in_flight = 0
        self.in_flight_bytes = 0
        self.answers: list[Answer | AlikeAnswers] = []
        self._disowned: set[int] = set()
        self._journal = journal
        self._observer = observer

    def admit(self, tasks: Sequence[Task]) -> None:
        """Counts the tasks in."""
        self.in_flight += len(tasks)
        self.in_flight_bytes += size_of(tasks)

    def settle(self, tasks: Sequence[Task]) -> None:
        """Counts the tasks out: they have their answers, or will get none."""
        self.in_flight -= len(tasks)
        self.in_flight_bytes -= size_of(tasks)

    def disown(self, tokens: Container[int] | None) -> None:
        """Nobody wants these tasks (None: any) any more. What is in the child ends there: no answer, no second call."""
        self.settle(self.dispatch.withdraw(tokens))
        self._disowned |= {token for token in self.tokens_in_child() if tokens is None or token in tokens}
        self.answers = [] if tokens is None else without(self.answers, tokens)

    def tokens_in_child(self) -> set[int]:
        return {token for call in self.dispatch.in_child() for token in tokens_of(call.tasks)}

    def next_call(self, now: float) -> Call | None:
        """The call to be handed to the child now, if there is one; the journal knows it already.

        One of a job that has no instance, and is to have none yet, is answered instead.
        """
        call = self.dispatch.take(now, self.cap.current(now))
        while call is not None and (refusal := self.loads.refusal(call, now)) is not None:
            self.dispatch.refuse(call)
            self.answers += [Answer(task.token, refusal) for task in call.tasks]
            self.settle(call.tasks)
            call = self.dispatch.take(now, self.cap.current(now))
        if call is not None and self._journal:
            self._journal.begun(call.id, tokens_of(call.tasks), alone=call.suspect)
        return call

    def hear(self, message: tuple[Any, ...], predictor: str, now: float) -> bool:
        """Takes the child's word on a call. True: that was the call's end.

        Raises whatever comes of a message that makes no sense; the call is then still in the child.
        """
        kind, call_id, *rest = message
        call = self.dispatch.call(call_id)
        if kind == ToParent.DONE:
            values, types, rejected, seconds, *parts = rest
            prepare_s, model_s = parts or (0.0, 0.0)
            self._answer(call, answers_to(call, values, types, rejected))
            if not call.is_hook:
                self._took(call, read_seconds(seconds) or 0.0, prepare_s, model_s)
        elif kind in (ToParent.PREPARES, ToParent.BEGINS, ToParent.LOADS):
            self._note(kind, call, now)
            return False
        else:
            ending = _ending(kind, rest, predictor)
            if not call.is_hook:
                self._observer.failed(_NAMES[type(ending)])
            self._judge(call, ending, now)
        self.dispatch.finish(call_id, now)
        if self._disowned:
            self._drop_disowned()
        if self._journal:
            self._journal.ended(call_id)
        return True

    def _took(self, call: Call, seconds: float, prepare_s: object, model_s: object) -> None:
        self.dispatch.took(seconds)
        self._observer.answered(len(call.tasks), seconds, _sensible(prepare_s), _sensible(model_s))

    def _note(self, kind: ToParent, call: Call, now: float) -> None:
        if kind == ToParent.LOADS:
            self.dispatch.load(call.id, now)
            return
        if kind == ToParent.BEGINS and call.loading_since is not None:
            self.loads.succeed(call)
        self.dispatch.begin(call.id, now)

    def _answer(self, call: Call, answers: list[Answer] | AlikeAnswers) -> None:
        if isinstance(answers, AlikeAnswers):
            self.answers.append(answers)
        else:
            self.answers += answers
        self.settle(call.tasks)

    def lose(self, ending: Ending, only: Call | None, now: float, begun: int = 0) -> int:
        """The child is gone, and that is how. Judges the calls to blame, `only` this one where given: how many.

        `begun`: the call that the child had marked last.
        """
        handed = self.dispatch.handed()
        blamed = self.dispatch.lose(only, begun)
        for call in reversed(blamed):  # each goes to the front
            self._observer.failed(CallEnd.LOST)
            self._judge(call, ending, now)
        self._drop_disowned()
        self._end_in_journal(handed)
        return len(blamed)

    def recall(self) -> None:
        """The child is gone, and no call is to blame: all wait again."""
        handed = self.dispatch.handed()
        self.dispatch.recall()
        self._drop_disowned()
        self._end_in_journal(handed)

    def _drop_disowned(self) -> None:
        """A call has left the child, its tasks answered or waiting again: those that nobody wants do neither."""
        if not self._disowned:
            return
        self.settle(self.dispatch.withdraw(self._disowned))
        self.answers = without(self.answers, self._disowned)
        self._disowned &= self.tokens_in_child()

    def _judge(self, call: Call, ending: Ending, now: float) -> None:
        if call.loading_since is not None and self._disowned.issuperset(tokens_of(call.tasks)):
            # The job may have ended elsewhere by now: its replay is not to meet a verdict that nobody has heard.
            self.settle(call.tasks)
            return
        verdict = self.loads.judge(call, ending, now)
        if verdict is None:
            self._mind_memory(call, ending, now)
            verdict = judge(call, ending)
        elif verdict.answers and isinstance(failure := verdict.answers[0].outcome, Failure):
            log.warning("%s%s", failure.message, "" if failure.final else "; it is tried again later")
        self.dispatch.again(verdict)
        self.answers += verdict.answers
        open_tasks = {token for tasks in verdict.again for token in tokens_of(tasks)}
        self.settle([task for task in call.tasks if task.token not in open_tasks])

    def _mind_memory(self, call: Call, ending: Ending, now: float) -> None:
        match ending:
            case Exhausted():
                self._adjust_cap(call, ending.failure.message, now)
            case Died(killed=True):
                self._adjust_cap(call, f"the predictor's process {ending.how}", now)

    def _adjust_cap(self, call: Call, reason: str, now: float) -> None:
        size = len(call.tasks)
        if size > 1:
            self.cap.shrink(size, now)
        elif call.alone and call.whole > 1:  # one item that fits nowhere says little about the others
            self.cap.pardon(call.whole, now)
        what = f"{size} items may not fit into memory together" if size > 1 else "an item may not fit into memory"
        log.warning("%s: %s; micro-batches have %d items at most for now", what, reason, self.cap.current(now))

    def _end_in_journal(self, call_ids: Sequence[int]) -> None:
        if self._journal:
            for call_id in call_ids:
                self._journal.ended(call_id)


def _sensible(seconds: object) -> float:
    """What a child says of its own times; 0 where it is nothing of the kind."""
    return seconds if type(seconds) is float and 0.0 <= seconds < math.inf else 0.0


def _ending(kind: object, rest: Sequence[Any], predictor: str) -> Raised | Exhausted | Miscounted:
    """What a message says that is no answer. ValueError: it says nothing that is known."""
    match kind:
        case ToParent.RAISED:
            failure, rejected = rest
            return Raised(read_failure(failure), read_rejected(rejected))
        case ToParent.EXHAUSTED:
            failure, rejected = rest
            return Exhausted(read_failure(failure), read_rejected(rejected))
        case ToParent.MISCOUNTED:
            returned, rejected = rest
            log.warning("predictor %s returned %s; finding out for which", predictor, returned)
            return Miscounted(predictor, returned, read_rejected(rejected))
    raise ValueError(f"kind {kind!r}")
