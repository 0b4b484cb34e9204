"""An engine whose child is the test: what is submitted waits until the test answers it."""

from stream_infer.engine.keeper import Readiness, State
from stream_infer.engine.task import AlikeAnswers, AlikeTasks, Answer
from stream_infer.records import Output


class FakeEngine:
    predictor_name = "Fake"
    child_socket = None

    def __init__(self):
        self.readiness = Readiness(State.LOADING)
        self.calls = []
        self.answers = []
        self.disowned = []
        self.echoes = False
        self.is_quick = False
        self.breaks = None

    def start(self):
        self.readiness = Readiness(State.READY)

    def hand_over(self, tasks):
        self.calls.append(list(tasks))
        if self.echoes and isinstance(tasks, AlikeTasks):
            self.answers.append(AlikeAnswers(tasks.tokens, tasks.payloads, tasks.content_type))
        elif self.echoes:
            self.answers += [Answer(task.token, Output(*task.payload)) for task in tasks]

    def take(self):
        if self.breaks:
            raise self.breaks
        answers, self.answers = self.answers, []
        return answers

    def take_soon(self):
        return self.take() if self.is_quick else []

    def disown(self, tokens=None):
        self.disowned.append(None if tokens is None else set(tokens))

    def close(self, _timeout_s):
        self.readiness = Readiness(State.CLOSED)

    @property
    def payloads(self):
        """Of everything that was submitted."""
        return [task.payload.data for call in self.calls for task in call]
