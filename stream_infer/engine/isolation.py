"""Who is to blame when a call fails. Pure: a call and how it ended go in, what to do comes out.

The guilty item of a micro-batch that raised is found by halving; that of one that took the child down by running its
suspects one at a time, since every further guess would cost a restart of the model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from stream_infer.engine.task import Answer, Task
from stream_infer.errors import ItemError, Stage
from stream_infer.predictors.finding import full_name
from stream_infer.predictors.protocol import WrongNumberOfOutputs
from stream_infer.records import Failure


class PredictorCrashed(ItemError):
    """The item, alone, took the predictor's process down."""


class PredictorTimedOut(ItemError):
    """The item, alone, kept the predictor beyond its deadline."""


@dataclass(slots=True)
class Call:
    """Tasks that are given to the predictor together. `suspect`: alone, since the child has died on it before.

    `miscounted`: what was wrong with the outputs of the micro-batch that this call is a part of.
    """

    id: int
    tasks: list[Task]
    suspect: bool = False
    miscounted: str = ""

    @property
    def alone(self) -> bool:
        """Nothing else may be in the child beside it."""
        return self.suspect or self.tasks[0].hook is not None


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
    """The child did not survive the call, which it had begun. `how`: a signal, a status or a timeout, in words."""

    how: str
    stderr: str
    timed_out: bool = False


Ending: TypeAlias = Raised | Miscounted | Died


@dataclass(frozen=True, slots=True)
class Verdict:
    """`answers` are final. Each list of `again` is to be called anew, as a suspect where it says so."""

    answers: list[Answer]
    again: list[list[Task]] = field(default_factory=list)
    suspect: bool = False
    miscounted: str = ""


def judge(call: Call, ending: Ending) -> Verdict:
    """What to do about the tasks of a call that has failed as a whole. No task is ever forgotten."""
    match ending:
        case Raised():
            return _judge_raised(call, ending)
        case Miscounted():
            return _judge_miscounted(call, ending)
        case Died():
            return _judge_died(call, ending)


def _judge_raised(call: Call, ending: Raised) -> Verdict:
    answers, rest = _set_aside(call, ending.rejected)
    # A passing fault of the model's surroundings says nothing about the items: splitting would only repeat it.
    if ending.failure.retryable or len(rest) <= 1:
        return Verdict(answers + [Answer(task.token, ending.failure) for task in rest])
    return Verdict(answers, _halves(rest), miscounted=call.miscounted)


def _judge_miscounted(call: Call, ending: Miscounted) -> Verdict:
    answers, rest = _set_aside(call, ending.rejected)
    if len(rest) > 1:
        return Verdict(answers, _halves(rest), miscounted=call.miscounted or ending.returned)
    message = f"predictor {ending.predictor} returned {call.miscounted or ending.returned}"
    if call.miscounted:
        message += f", and {ending.returned} when this one was alone"
    message += ": predict must return one output per item"
    failure = Failure(Stage.PREDICT, full_name(WrongNumberOfOutputs), message)
    return Verdict(answers + [Answer(task.token, failure) for task in rest])


def _judge_died(call: Call, ending: Died) -> Verdict:
    if not call.suspect:
        return Verdict([], [[task] for task in call.tasks], suspect=True)
    kind = PredictorTimedOut if ending.timed_out else PredictorCrashed
    message = f"the predictor's process {ending.how}, twice with this item and the second time with it alone"
    failure = Failure(Stage.PREDICT, full_name(kind), message, ending.stderr)
    return Verdict([Answer(task.token, failure) for task in call.tasks])


def _set_aside(call: Call, rejected: Mapping[int, Failure]) -> tuple[list[Answer], list[Task]]:
    answers = [Answer(call.tasks[index].token, failure) for index, failure in rejected.items()]
    return answers, [task for index, task in enumerate(call.tasks) if index not in rejected]


def _halves(tasks: list[Task]) -> list[list[Task]]:
    middle = (len(tasks) + 1) // 2
    return [tasks[:middle], tasks[middle:]]
