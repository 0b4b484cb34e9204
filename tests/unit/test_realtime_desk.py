"""What is in flight at a replica: places, deadlines, who goes and who stays. The engine is the test's own."""

import asyncio

import pytest

from stream_infer.engine.keeper import Readiness, State
from stream_infer.engine.task import Answer
from stream_infer.errors import Stage
from stream_infer.http.problems import Problem, ProblemKind
from stream_infer.realtime.desk import Bounds, Desk
from stream_infer.records import JSON, Failure, Output, Payload
from tests.support.fake_engine import FakeEngine


class Asker:
    def __init__(self):
        self.replies = []

    def reply(self, reply):
        self.replies.append(reply)

    @property
    def status(self):
        [reply] = self.replies
        return reply.status


def with_desk(scenario, askers=None, **engine):
    """Runs `scenario(desk, engine)` with a desk that is ready."""

    async def run():
        fake = FakeEngine()
        for name, value in engine.items():
            setattr(fake, name, value)
        desk = Desk(fake, Bounds(4, 100), lambda _state: None, askers)
        desk.start()
        try:
            await scenario(desk, fake)
        finally:
            desk.close(0.0)

    asyncio.run(run())


def ask(desk, data=b"1", content_type=JSON, timeout_s=60.0):
    asker = Asker()
    token = desk.admit(len(data), timeout_s, asker)
    desk.submit(token, Payload(data, content_type))
    return asker, token


async def turns(count=3):
    for _ in range(count):
        await asyncio.sleep(0)


def kind_of(caught):
    return caught.value.kind


def test_what_comes_in_one_turn_of_the_loop_goes_to_the_engine_together():
    async def scenario(desk, engine):
        askers = [ask(desk, b"%d" % n)[0] for n in range(3)]
        assert engine.calls == []
        await turns()
        desk._turn()
        assert [len(call) for call in engine.calls] == [3]
        assert [asker.replies[0].body for asker in askers] == [b"0", b"1", b"2"]
        assert askers[0].replies[0].content_type == JSON
        assert desk.in_flight == 0

    with_desk(scenario, echoes=True)


def test_once_all_who_might_ask_have_asked_nobody_is_waited_for():
    async def scenario(desk, engine):
        ask(desk, b"0")
        assert engine.calls == []
        ask(desk, b"1")
        assert [len(call) for call in engine.calls] == [2]
        await turns()
        desk._turn()
        assert [len(call) for call in engine.calls] == [2]
        assert desk.in_flight == 0

    with_desk(scenario, askers=range(2), echoes=True)


def test_a_quick_model_is_waited_for_once_all_who_might_ask_have_asked():
    async def scenario(desk, engine):
        engine.is_quick = True
        first, _ = ask(desk, b"0")
        assert first.replies == []
        second, _ = ask(desk, b"1")
        assert (first.status, second.status) == (200, 200)
        assert desk.in_flight == 0

    with_desk(scenario, askers=range(2), echoes=True)


def test_who_asks_again_when_answered_is_not_answered_within_that():
    class Insatiable(Asker):
        depth = 0

        def reply(self, reply):
            super().reply(reply)
            assert self.depth == 0
            self.depth += 1
            if len(self.replies) < 3:
                desk_of_it.submit(desk_of_it.admit(1, 5.0, self), Payload(b"1", JSON))
            self.depth -= 1

    async def scenario(desk, engine):
        nonlocal desk_of_it
        desk_of_it, asker = desk, Insatiable()
        engine.is_quick = True
        desk.submit(desk.admit(1, 5.0, asker), Payload(b"1", JSON))
        for count in (1, 2, 3):
            assert len(asker.replies) == count
            desk._turn()
        assert desk.in_flight == 0

    desk_of_it = None
    with_desk(scenario, askers=range(1), echoes=True)


def test_items_of_several_content_types_are_answered_too():
    async def scenario(desk, engine):
        first, _ = ask(desk, b"1")
        second, _ = ask(desk, b"x", "image/png")
        await turns()
        desk._turn()
        assert (first.replies[0].content_type, second.replies[0].content_type) == (JSON, "image/png")

    with_desk(scenario, echoes=True)


def test_more_items_or_bytes_than_may_be_in_flight_are_refused_with_429():
    async def scenario(desk, engine):
        for _ in range(4):
            ask(desk)
        with pytest.raises(Problem) as caught:
            ask(desk)
        assert (kind_of(caught), caught.value.all_headers()["Retry-After"]) == (ProblemKind.FULL, "1")

    with_desk(scenario)

    async def scenario_of_bytes(desk, engine):
        ask(desk, b"x" * 300)  # alone it may be larger than what all may have
        with pytest.raises(Problem, match="300 bytes"):
            ask(desk)
        await turns()
        desk._engine.answers.append(Answer(1, Output(b"1")))
        desk._turn()
        ask(desk)

    with_desk(scenario_of_bytes)


def test_a_payload_that_turns_out_too_large_beside_others_is_refused():
    async def scenario(desk, engine):
        ask(desk)
        asker = Asker()
        token = desk.admit(10, 5.0, asker)
        desk.resize(token, 200)
        desk.submit(token, Payload(b"x" * 200))
        await turns()
        assert asker.status == 429
        assert engine.payloads == [b"1"]

    with_desk(scenario)


def test_past_its_deadline_an_item_is_answered_with_504_and_not_begun_any_more():
    async def scenario(desk, engine):
        asker, token = ask(desk, timeout_s=0.02)
        other, _ = ask(desk)
        await asyncio.sleep(0.2)
        assert asker.status == 504
        assert {token} in engine.disowned
        engine.answers += [Answer(token, Output(b"late")), Answer(token + 1, Output(b"1"))]
        desk._turn()
        assert asker.status == 504
        assert other.status == 200

    with_desk(scenario)


def test_who_has_gone_gets_nothing_and_its_item_is_disowned_or_never_submitted():
    async def scenario(desk, engine):
        asker, token = ask(desk)
        desk.leave(token)
        await turns()
        assert engine.payloads == []
        assert {token} in engine.disowned
        assert asker.replies == []
        assert desk.in_flight == 0

    with_desk(scenario)


@pytest.mark.parametrize(
    ("outcome", "status"),
    [
        (Output(b"1"), 200),
        (Output(None), 204),
        (Failure(Stage.DECODE, "UndecodableItem", "no JSON", final=True), 422),
        (Failure(Stage.PREDICT, "builtins.ValueError", "bad"), 500),
        (Failure(Stage.PREDICT, "RetryableError", "busy", retryable=True, retry_after=6.2), 503),
    ],
)
def test_each_outcome_has_its_status(outcome, status):
    async def scenario(desk, engine):
        asker, token = ask(desk)
        await turns()
        engine.answers.append(Answer(token, outcome))
        desk._turn()
        assert asker.status == status

    with_desk(scenario)


def test_while_a_process_is_replaced_items_wait_and_when_none_can_be_had_they_end_with_503():
    async def scenario(desk, engine):
        asker, _ = ask(desk)
        await turns()
        engine.readiness = Readiness(State.LOADING, "the process was killed by SIGSEGV")
        desk._turn()
        assert desk.unreadiness.kind is ProblemKind.PREDICTOR_UNAVAILABLE
        other, _ = ask(desk)
        assert asker.replies == other.replies == []

        engine.readiness = Readiness(State.UNAVAILABLE, "it cannot be loaded")
        desk._turn()
        assert (asker.status, other.status) == (503, 503)
        assert engine.disowned[-1] is None
        with pytest.raises(Problem, match="cannot be loaded"):
            ask(desk)

        engine.readiness = Readiness(State.READY)
        desk._turn()
        assert desk.unreadiness is None
        ask(desk)

    with_desk(scenario)


def test_one_that_is_to_end_is_unready_first_and_serves_until_it_drains():
    async def scenario(desk, engine):
        assert desk.unreadiness is None
        desk.announce_end()
        assert desk.unreadiness.kind is ProblemKind.NOT_READY
        asker, token = ask(desk)
        desk.drain()
        with pytest.raises(Problem) as caught:
            ask(desk)
        assert kind_of(caught) is ProblemKind.NOT_READY
        await turns()
        engine.answers.append(Answer(token, Output(b"1")))
        desk._turn()
        assert asker.status == 200

    with_desk(scenario)


def test_what_an_engine_raises_ends_the_role_and_not_silently():
    async def scenario(desk, engine):
        engine.breaks = RuntimeError("a bug")
        desk._turn()
        with pytest.raises(RuntimeError, match="a bug"):
            await desk.fault

    with_desk(scenario)
