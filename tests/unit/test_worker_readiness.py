"""When a worker is ready, and what it says that it lacks."""

import threading
from types import SimpleNamespace

from stream_infer.engine.keeper import Readiness as EngineReadiness
from stream_infer.engine.keeper import State as EngineState
from stream_infer.errors import PredictorUnavailable
from stream_infer.worker.circuit import State
from stream_infer.worker.readiness import Readiness


def engine(state=EngineState.LOADING, reason="", fails=False):
    def wait_ready(timeout_s, is_over):
        if fails:
            raise PredictorUnavailable(reason)

    return SimpleNamespace(readiness=EngineReadiness(state, reason), predictor_name="cats.Cats", wait_ready=wait_ready)


def loaded(readiness, **fields):
    readiness.await_predictor(engine(**fields), 1.0, threading.Event(), lambda error: None)


def test_it_is_told_once_when_the_predictor_serves_and_the_group_is_joined():
    told = []
    readiness = Readiness(lambda: told.append(1))
    before = readiness.missing()
    loaded(readiness)
    alone = readiness.missing()
    readiness.joined()
    readiness.joined()

    assert before == ["It is starting."]
    assert alone == ["It is no member of its group yet."]
    assert (readiness.missing(), told) == ([], [1])


def test_a_predictor_that_cannot_be_loaded_is_what_is_missing():
    readiness = Readiness(lambda: None)
    loaded(readiness, fails=True, state=EngineState.UNAVAILABLE, reason="no weights at /model")
    readiness.joined()

    assert readiness.missing() == ["no weights at /model"]


def test_while_the_api_is_halted_it_is_not_ready_and_is_again_once_it_serves():
    told = []
    readiness = Readiness(lambda: told.append(1))
    loaded(readiness)
    readiness.joined()
    readiness.note(State.HALTED)
    halted = readiness.missing()
    readiness.note(State.SERVING)

    assert halted == ["The API is halted on this worker (halted)."]
    assert (readiness.missing(), told) == ([], [1])
