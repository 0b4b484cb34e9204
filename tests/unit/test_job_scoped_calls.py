"""A predictor with an instance for each job: what shares a call, what the call says, and what a failed one means."""

import orjson

from stream_infer.engine.batcher import Batcher
from stream_infer.engine.calls import message_for
from stream_infer.engine.dispatch import Dispatch
from stream_infer.engine.isolation import Call, Raised, judge
from stream_infer.engine.policy import EnginePolicy
from stream_infer.engine.runner import Runner
from stream_infer.engine.task import Scope, Task
from stream_infer.engine.wire import ToChild, ToParent, pack_job, read_failure, read_job
from stream_infer.errors import JobRefused
from stream_infer.predictors.protocol import Job, JobScoped
from stream_infer.records import JSON, Payload

JOB = Job("job-1", {"big": 10**30}, api="a", workers=2, batch_size=3, items=7, submitted_at=1.5)
POLICY = EnginePolicy(max_batch_size=100, call_timeout_s=10, load_timeout_s=300)


class Scoped(JobScoped):
    """Sums its batches, for each job. A job named `refused` cannot have an instance."""

    def __init__(self):
        self.sums = {}
        self.done = []

    def holds(self, job):
        return job is not None and job.id in self.sums

    def load(self, job):
        if job is not None and job.id == "refused":
            try:
                raise KeyError("dest_s3_dir")
            except KeyError as error:
                raise JobRefused("job refused: its __init__ raised KeyError") from error
        self.sums.setdefault(None if job is None else job.id, [])

    def predict_batch(self, items, batch):
        sums = self.sums[None if batch.job is None else batch.job.id]
        sums.append((batch.id, sum(items)))
        return [len(sums)] * len(items)

    def predict(self, items):
        return ["no job"] * len(items)

    def on_job_complete(self, job):
        self.done.append((job, self.sums.pop(job.id)))

    def forget(self, job_id):
        self.sums.pop(job_id, None)


def call_of(call_id, batch, *values):
    return (ToChild.CALL, call_id, JSON, [orjson.dumps(value) for value in values], batch)


def scoped(token, part=0, job_id="job-1", most=3):
    return Task(token, Payload(b"1"), Scope(job_id, part, most, pack_job(JOB)), name=f"{job_id}-{token}")


def tokens(batches):
    return [[each.token for each in batch] for batch in batches]


def test_a_job_reaches_the_child_as_it_is():
    assert read_job(pack_job(JOB)) == JOB


def test_parts_of_a_job_and_jobs_never_share_a_call_and_a_part_is_full_at_its_own_size():
    waiting = Batcher(POLICY)
    given = [scoped(0), scoped(3, part=1), scoped(1), scoped(9, job_id="job-2"), scoped(2), scoped(4, part=1)]

    assert tokens(waiting.add(given, now=0.0)) == [[0, 1, 2]]
    assert tokens(waiting.close_all()) == [[3, 4], [9]]


def test_a_part_that_is_not_whole_is_not_given_to_an_idle_model_before_it_is_due():
    waiting = Batcher(POLICY)
    waiting.add([scoped(0)], now=0.0)

    assert waiting.close_oldest() is None
    due = waiting.close_due(POLICY.max_wait_s)
    assert due is not None and [task.token for task in due] == [0]


def test_a_batch_is_called_alike_when_it_is_read_again_and_otherwise_when_it_is_another():
    def name(*tasks):
        return message_for(Call(1, list(tasks)))[4][0]

    assert name(scoped(0), scoped(1)) == name(scoped(0)._replace(token=77), scoped(1)._replace(token=78))
    assert len({name(scoped(0), scoped(1)), name(scoped(0)), name(scoped(1)), name(scoped(0, job_id="job-2"))}) == 4
    assert len(name(scoped(0))) == 36


def test_an_unscoped_call_says_nothing_of_a_job():
    assert message_for(Call(1, [Task(0, Payload(b"1"))])) == (ToChild.CALL, 1, JSON, [b"1"], None)


def test_each_job_has_its_own_state_and_its_own_hook():
    model, said = Scoped(), []
    runner = Runner(model, 1, said.append)

    runner.admit(call_of(1, ("b1", pack_job(JOB)), 1, 2))()
    runner.admit(call_of(2, ("b2", pack_job(Job("job-2", {}))), 5))()
    runner.admit(call_of(3, ("b3", pack_job(JOB)), 3))()
    runner.admit((ToChild.HOOK, 4, pack_job(JOB)))()

    assert model.done == [(JOB, [("b1", 3), ("b3", 3)])]
    assert list(model.sums) == ["job-2"]
    assert [message[:3] for message in said if message[0] == ToParent.DONE] == [
        (ToParent.DONE, 1, [b"1", b"1"]),
        (ToParent.DONE, 2, [b"1"]),
        (ToParent.DONE, 3, [b"2"]),
        (ToParent.DONE, 4, [None]),
    ]


def test_what_takes_long_is_announced_only_where_an_instance_is_made():
    said = []
    runner = Runner(Scoped(), 1, said.append)

    for call_id in (1, 2):
        runner.admit(call_of(call_id, ("b", pack_job(JOB)), 1))()

    assert [message[:2] for message in said] == [
        (ToParent.LOADS, 1),
        (ToParent.BEGINS, 1),
        (ToParent.DONE, 1),
        (ToParent.BEGINS, 2),
        (ToParent.DONE, 2),
    ]


def test_a_forgotten_job_has_no_instance_any_more():
    model = Scoped()
    runner = Runner(model, 1, lambda _: None)
    runner.admit(call_of(1, ("b", pack_job(JOB)), 1))()

    runner.admit((ToChild.FORGET, "job-1"))()

    assert model.sums == {}


class BatchesOfItsOwn:
    """A native class that knows no jobs; what it calls predict_batch is its own affair."""

    def __init__(self):
        self.done = []

    def predict(self, items):
        return [self.predict_batch(items)] * len(items)

    def predict_batch(self, rows):
        return sum(rows)

    def on_job_complete(self, job):
        self.done.append(job.id)


def test_a_class_with_a_predict_batch_of_its_own_is_not_taken_for_job_scoped():
    model, said = BatchesOfItsOwn(), []
    runner = Runner(model, 1, said.append)

    runner.admit(call_of(1, None, 4, 5))()
    runner.admit((ToChild.HOOK, 2, pack_job(JOB)))()
    runner.admit((ToChild.FORGET, "job-1"))()

    assert model.done == ["job-1"]
    assert [message[:3] for message in said if message[0] == ToParent.DONE] == [
        (ToParent.DONE, 1, [b"9", b"9"]),
        (ToParent.DONE, 2, [None]),
    ]


def test_items_without_a_job_have_an_instance_too():
    model, said = Scoped(), []

    Runner(model, 1, said.append).admit(call_of(1, ("b", None), 4))()

    assert model.sums == {None: [("b", 4)]}


def test_a_job_without_an_instance_fails_all_its_items_at_once_and_says_why():
    said = []
    Runner(Scoped(), 1, said.append).admit(call_of(1, ("b", pack_job(Job("refused", {}))), 1, 2))()
    kind, _, packed, rejected = said[-1]
    failure = read_failure(packed)

    assert (kind, rejected) == (ToParent.RAISED, {})
    assert (failure.of_job, failure.final, failure.exception) == (True, True, "KeyError")
    assert failure.message == "job refused: its __init__ raised KeyError"
    verdict = judge(Call(1, [scoped(0), scoped(1)]), Raised(failure))
    assert [answer.outcome for answer in verdict.answers] == [failure, failure]
    assert verdict.again == []


def test_making_an_instance_may_take_as_long_as_loading_and_the_call_has_its_own_time_after_it():
    dispatch = Dispatch(POLICY)
    dispatch.add([scoped(0)])
    call = dispatch.take(0.0)

    dispatch.load(call.id, 1.0)
    assert dispatch.next_deadline() == 301.0
    dispatch.begin(call.id, 200.0)
    assert dispatch.next_deadline() == 210.0
