"""Who is to blame when a call fails. Pure: a call and how it ended go in, what to do comes out.

The guilty item of a micro-batch that raised is found by halving; that of one that took the child down by running its
suspects one at a time, since every further guess would cost a restart of the model. A child that was killed by SIGKILL
accuses nobody: mostly it is the kernel, short of memory, or a person. It counts as memory that ran out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from stream_infer.engine.task import AlikeTasks, Answer, Task
from stream_infer.errors import ItemError, Stage
from stream_infer.predictors.finding import full_name
from stream_infer.predictors.protocol import WrongNumberOfOutputs
from stream_infer.records import Failure

DEATHS_ALONE = 3
"""How often an item must have been alone in a process that was killed by SIGKILL, to be taken for the reason."""


class PredictorCrashed(ItemError):
    """The item, alone, took the predictor's process down."""


class PredictorTimedOut(ItemError):
    """The item, alone, kept the predictor beyond its deadline."""


class OutOfMemory(ItemError):
    """The item, alone, needs more memory than the container has."""


@dataclass(slots=True)
class Call:
    """Tasks that are given to the predictor together. `suspect`: alone, since a child has died on it before.

    `solo`: alone, to see whether it fits into memory then. `miscounted`: what was wrong with the outputs of the
    micro-batch that this call is a part of. `whole`: the size of the one that ran out of memory first. `deaths`: how
    often a child was killed with it alone in it. `lost`: how often one ended that should have taken it up next.
    `since`: when it began to wait for the child; what is called again waits since ever. `loading_since`: when the child
    began to make an instance for its job, until it has.
    """

    id: int
    tasks: Sequence[Task]
    suspect: bool = False
    solo: bool = False
    miscounted: str = ""
    whole: int = 0
    deaths: int = 0
    lost: int = 0
    since: float = -math.inf
    loading_since: float | None = None

    @property
    def job_id(self) -> str | None:
        """Of the job whose instance it is for; None: of none."""
        if isinstance(self.tasks, AlikeTasks):
            return None
        first = self.tasks[0]
        return first.hook if first.scope is None else first.scope.job_id

    @property
    def alone(self) -> bool:
        """Nothing else may be in the child beside it."""
        return self.suspect or self.solo or self.is_hook

    @property
    def is_hook(self) -> bool:
        """A job's `on_job_complete`, not items. Asked several times a call: of alike tasks none is made for it."""
        return not isinstance(self.tasks, AlikeTasks) and self.tasks[0].hook is not None


@dataclass(frozen=True, slots=True)
class Raised:
    """The call raised. `rejected` are items, by index, that had failed before it."""

    failure: Failure
    rejected: Mapping[int, Failure] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Miscounted:
    """The call's answer was not one output per item. `returned` says what it was: `31 outputs for 32 items`."""

    predictor: str
    returned: str
    rejected: Mapping[int, Failure] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Died:
    """The child did not survive the call, which it had begun. `how`: a signal, a status or a timeout, in words.

    `killed`: by SIGKILL, and not by us.
    """

    how: str
    stderr: str
    timed_out: bool = False
    killed: bool = False


@dataclass(frozen=True, slots=True)
class Exhausted:
    """Memory ran out during the call. `failure` says how; `rejected` are items, by index, that had failed before it."""

    failure: Failure
    rejected: Mapping[int, Failure] = field(default_factory=dict)


Ending: TypeAlias = Raised | Miscounted | Died | Exhausted


@dataclass(frozen=True, slots=True)
class Verdict:
    """`answers` are final. Each list of `again` is to be called anew, as a call that is what it says here."""

    answers: list[Answer]
    again: list[Sequence[Task]] = field(default_factory=list)
    suspect: bool = False
    solo: bool = False
    miscounted: str = ""
    whole: int = 0
    deaths: int = 0


def judge(call: Call, ending: Ending) -> Verdict:
    """What to do about the tasks of a call that has failed as a whole. No task is ever forgotten."""
    match ending:
        case Raised():
            return _judge_raised(call, ending)
        case Miscounted():
            return _judge_miscounted(call, ending)
        case Died(killed=True):
            return _judge_killed(call, ending)
        case Died():
            return _judge_died(call, ending)
        case Exhausted():
            return _judge_exhausted(call, ending)


def _judge_raised(call: Call, ending: Raised) -> Verdict:
    answers, rest = _set_aside(call, ending.rejected)
    # A passing fault of the model's surroundings says nothing about the items: splitting would only repeat it. So would
    # it what keeps all of a job's items from being predicted.
    if ending.failure.retryable or ending.failure.of_job or len(rest) <= 1:
        return Verdict(answers + [Answer(task.token, ending.failure) for task in rest])
    return Verdict(answers, _halves(rest), miscounted=call.miscounted, whole=call.whole)


def _judge_miscounted(call: Call, ending: Miscounted) -> Verdict:
    answers, rest = _set_aside(call, ending.rejected)
    if len(rest) > 1:
        return Verdict(answers, _halves(rest), miscounted=call.miscounted or ending.returned, whole=call.whole)
    message = f"predictor {ending.predictor} returned {call.miscounted or ending.returned}"
    if call.miscounted:
        message += f", and {ending.returned} when this one was alone"
    message += ": predict must return one output per item"
    failure = Failure(Stage.PREDICT, full_name(WrongNumberOfOutputs), message, final=True)
    return Verdict(answers + [Answer(task.token, failure) for task in rest])


def _judge_died(call: Call, ending: Died) -> Verdict:
    if not call.suspect:
        return Verdict([], [[task] for task in call.tasks], suspect=True)
    kind = PredictorTimedOut if ending.timed_out else PredictorCrashed
    message = f"the predictor's process {ending.how} with this item alone in it; another had gone down with it before"
    return Verdict(_all_failed(call, full_name(kind), message, ending.stderr))


def _judge_killed(call: Call, ending: Died) -> Verdict:
    whole = call.whole or len(call.tasks)
    if len(call.tasks) > 1:
        return Verdict([], _halves(call.tasks), miscounted=call.miscounted, whole=whole)
    if not call.alone:
        return Verdict([], [call.tasks], solo=True, miscounted=call.miscounted, whole=whole)
    deaths = call.deaths + 1
    if deaths < DEATHS_ALONE:
        return Verdict(
            [], [call.tasks], suspect=call.suspect, solo=True, miscounted=call.miscounted, whole=whole, deaths=deaths
        )
    message = f"the predictor's process {ending.how} with this item alone in it, {deaths} times"
    return Verdict(_all_failed(call, full_name(PredictorCrashed), message, ending.stderr), whole=whole)


def _all_failed(call: Call, exception: str, message: str, stderr: str) -> list[Answer]:
    failure = Failure(Stage.PREDICT, exception, message, stderr, final=True)
    return [Answer(task.token, failure) for task in call.tasks]


def _judge_exhausted(call: Call, ending: Exhausted) -> Verdict:
    answers, rest = _set_aside(call, ending.rejected)
    whole = call.whole or len(call.tasks)
    if len(rest) > 1:
        return Verdict(answers, _halves(rest), miscounted=call.miscounted, whole=whole)
    if not call.alone:  # the next micro-batch may have been prepared beside it
        return Verdict(answers, [rest] if rest else [], solo=True, miscounted=call.miscounted, whole=whole)
    return Verdict(answers + [Answer(task.token, _too_large(task, ending.failure)) for task in rest], whole=whole)


def _too_large(task: Task, failure: Failure) -> Failure:
    size = f"this item ({len(task.payload.data):,} bytes) does not fit into memory, though it was alone"
    return replace(failure, message=f"{size}: {failure.message}", final=True, retryable=False, retry_after=None)


def _set_aside(call: Call, rejected: Mapping[int, Failure]) -> tuple[list[Answer], list[Task]]:
    answers = [Answer(call.tasks[index].token, failure) for index, failure in rejected.items()]
    return answers, [task for index, task in enumerate(call.tasks) if index not in rejected]


def _halves(tasks: Sequence[Task]) -> list[Sequence[Task]]:
    middle = (len(tasks) + 1) // 2
    return [tasks[:middle], tasks[middle:]]
