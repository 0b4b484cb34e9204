"""What an engine tells: once a micro-batch, whatever becomes of it, and at each end of its child."""

from types import SimpleNamespace

import pytest

from stream_infer.engine.court import Court
from stream_infer.engine.failures import describe
from stream_infer.engine.isolation import Died
from stream_infer.engine.keeper import Keeper, Readiness, State
from stream_infer.engine.loading import Loading
from stream_infer.engine.observer import CallEnd, ChildEnd
from stream_infer.engine.policy import EnginePolicy
from stream_infer.engine.runner import Runner
from stream_infer.engine.task import AlikeTasks, Task
from stream_infer.engine.wire import ToChild, ToParent, pack_failure
from stream_infer.errors import Stage
from stream_infer.predictors.spec import PredictorSpec
from stream_infer.records import JSON, Payload
from stream_infer.telemetry.catalogue import model
from stream_infer.telemetry.engine_metrics import EngineMetrics, show_engine
from stream_infer.telemetry.exposure import Exposure
from tests.support.metrics import shown_by, value

POLICY = EnginePolicy(max_batch_size=4)
BAD = pack_failure(describe(ValueError("bad"), Stage.PREDICT))


class FakeObserver:
    def __init__(self):
        self.told = []

    def answered(self, items, seconds, prepare_s, model_s):
        self.told.append((items, seconds, prepare_s, model_s))

    def failed(self, end):
        self.told.append(end)

    def child_ended(self, how):
        self.told.append(how)


@pytest.fixture
def observer():
    return FakeObserver()


@pytest.fixture
def court(observer):
    return Court(POLICY, None, observer)


def begin(court, count=3):
    """A micro-batch that is in the child; its id."""
    tasks = AlikeTasks(list(range(count)), [b"1"] * count, JSON)
    court.admit(tasks)
    court.dispatch.add(tasks, 0.0)
    return court.next_call(0.0).id


def done(call_id, *times, count=3):
    return (ToParent.DONE, call_id, [b"1"] * count, JSON, {}, *times)


def test_an_answer_is_told_with_its_items_and_what_they_took(court, observer):
    court.hear(done(begin(court), 0.5, 0.1, 0.3), "p", 1.0)

    assert observer.told == [(3, 0.5, 0.1, 0.3)]


@pytest.mark.parametrize("times", [(0.5, "soon", None), (0.5, -1.0, float("inf")), (0.5, float("nan"), 10**400)])
def test_times_that_make_no_sense_count_as_none(court, observer, times):
    court.hear(done(begin(court), *times), "p", 1.0)

    assert observer.told == [(3, 0.5, 0.0, 0.0)]


def test_an_answer_with_a_part_too_few_is_none_and_its_call_stays_in_the_child(court, observer):
    call_id = begin(court)

    with pytest.raises(ValueError, match="unpack"):
        court.hear(done(call_id, 0.5, 0.1), "p", 1.0)

    assert (court.answers, observer.told) == ([], [])
    assert [call.id for call in court.dispatch.in_child()] == [call_id]


@pytest.mark.parametrize(
    ("said", "end"),
    [
        ((ToParent.RAISED, BAD, {}), CallEnd.RAISED),
        ((ToParent.EXHAUSTED, BAD, {}), CallEnd.OUT_OF_MEMORY),
        ((ToParent.MISCOUNTED, "2 outputs for 3 items", {}), CallEnd.MISCOUNTED),
    ],
)
def test_what_fails_is_told_by_how_it_did(court, observer, said, end):
    kind, *rest = said
    court.hear((kind, begin(court), *rest), "p", 1.0)

    assert observer.told == [end]


def test_a_call_that_is_lost_with_its_child_is_told(court, observer):
    call_id = begin(court)
    court.hear((ToParent.BEGINS, call_id), "p", 1.0)
    court.lose(Died("was killed by SIGSEGV", ""), None, 2.0)

    assert observer.told == [CallEnd.LOST]


def test_a_hook_is_no_micro_batch(court, observer):
    hook = Task(1, Payload(b"{}"), hook="job")
    court.admit([hook])
    court.dispatch.add([hook], 0.0)
    call_id = court.next_call(0.0).id
    court.hear((ToParent.DONE, call_id, [None], JSON, {}, 0.0, 0.0, 0.0), "p", 1.0)

    assert observer.told == []


def keeper_with(observer, *, killed=False, state=State.READY):
    keeper = Keeper(PredictorSpec("native", "a.py:B"), POLICY, print, observer)
    keeper.host = SimpleNamespace(
        reap=lambda: ("ended", ""), killed=killed, begun=0, pid=1, dump_threads=lambda: None, is_gone=lambda: True
    )
    keeper.readiness = Readiness(state)
    keeper.start = lambda now: None
    return keeper


@pytest.mark.parametrize(
    ("act", "state", "killed", "how"),
    [
        (lambda keeper: keeper.check(0.0), State.READY, False, ChildEnd.CRASHED),
        (lambda keeper: keeper.check(0.0), State.READY, True, ChildEnd.KILLED),
        (lambda keeper: keeper.check(0.0), State.LOADING, False, ChildEnd.NOT_LOADED),
        (lambda keeper: keeper.kill("hung", 0.0), State.READY, False, ChildEnd.HUNG),
        (lambda keeper: keeper.end("full", 0.0, ChildEnd.OUT_OF_MEMORY), State.READY, True, ChildEnd.OUT_OF_MEMORY),
        (lambda keeper: keeper.restart("the breaker", 0.0), State.READY, False, ChildEnd.RENEWED),
    ],
)
def test_each_end_of_a_child_is_told_once_by_how_it_came(observer, act, state, killed, how):
    act(keeper_with(observer, killed=killed, state=state))

    assert observer.told == [how]


def test_whoever_asks_why_it_is_not_ready_is_shown_no_secret(observer):
    keeper = keeper_with(observer, state=State.LOADING)
    said = "its __init__ raised OSError: cannot reach postgres://u:hunter2@db"
    keeper.host.receive = lambda: [(ToParent.UNAVAILABLE, said, f"Traceback: {said}")]
    keeper.receive(0.0)

    assert keeper.readiness.state is State.UNAVAILABLE
    for shown in (keeper.readiness.reason, keeper.readiness.detail):
        assert "postgres://***@db" in shown


def test_the_child_says_what_its_items_and_its_model_took():
    class Predictor:
        def predict(self, items):
            return items

    said = []
    Runner(Predictor(), 1, said.append).admit((ToChild.CALL, 1, JSON, [b"1", b"2"], None))()
    *_, seconds, prepare_s, model_s = said[-1]

    assert 0.0 <= prepare_s <= seconds
    assert 0.0 <= model_s <= seconds - prepare_s


def test_the_numbers_are_shown_beside_what_the_engine_is_at():
    engine = SimpleNamespace(
        in_flight=5, in_flight_bytes=50, batch_size=8, batch_cap=4, found_batch_size=8, child_pid=None,
        readiness=Readiness(State.READY), loading=Loading(0.4, 0.3, 0.2, 0.1),
    )  # fmt: skip
    metrics, exposure = EngineMetrics("a"), Exposure()
    show_engine(exposure, metrics, engine)
    metrics.answered(4, 0.5, 0.1, 0.3)
    metrics.answered(2, 0.25, 0.0, 0.25)
    metrics.failed(CallEnd.RAISED)
    metrics.child_ended(ChildEnd.HUNG)

    samples = shown_by(exposure)

    assert value(samples, model.CALLS, api="a", outcome="answered") == 2
    assert value(samples, model.CALLS, api="a", outcome="raised") == 1
    assert value(samples, "stream_infer_call_items_sum", api="a") == 6
    assert value(samples, "stream_infer_model_seconds_sum", api="a") == pytest.approx(0.55)
    assert value(samples, model.MODEL_STAGE_SECONDS, api="a", stage="prepare") == pytest.approx(0.1)
    assert value(samples, model.MODEL_STAGE_SECONDS, api="a", stage="encode") == pytest.approx(0.1)
    assert value(samples, model.CHILD_ENDS, api="a", reason="hung") == 1
    assert value(samples, model.BATCH_ITEMS_LIMIT, api="a") == 8
    assert value(samples, model.BATCH_ITEMS_CAP, api="a") == 4
    assert value(samples, model.BATCH_ITEMS_FOUND, api="a") == 8
    assert value(samples, model.PREDICTOR_STATE, api="a", state="ready") == 1
    assert value(samples, model.PREDICTOR_LOAD_SECONDS, api="a", part="warm_up") == 0.1


def test_a_counter_falls_for_nothing_that_a_child_says():
    metrics = EngineMetrics("a")

    def encode():
        [stages] = [one.values for one in metrics._counted() if one.metric is model.MODEL_STAGE_SECONDS]
        return stages[model.ModelStage("a", "encode")]

    seen = [encode()]
    for seconds, prepare_s, model_s in ((0.5, 0.1, 0.3), (0.0, 9.0, 9.0), (0.4, 0.1, 0.1)):
        metrics.answered(1, seconds, prepare_s, model_s)
        seen.append(encode())

    assert seen == pytest.approx([0.0, 0.1, 0.1, 0.3])
