"""What the client asks of a dry run and of a replay, and what it makes of the answers: without HTTP."""

import json
from typing import Any

import pytest

from stream_infer.clients import calls
from stream_infer.clients.errors import GatewayFailed
from stream_infer.clients.given import source_of
from stream_infer.clients.planning import Plan, PlannedItem, plan_of, planning
from stream_infer.clients.replaying import job_replayed, wanted
from stream_infer.clients.steps import Pour
from stream_infer.gateway.dead_letters.bodies import ReplayBody
from tests.support.job_bodies import job
from tests.support.steps import asked, carry_out

LINES = [
    {"ordinal": 0, "source": "s3://b/1#line=1", "content_type": "application/json", "bytes": 7, "item": {"a": 1}},
    {"ordinal": 1, "source": "s3://b/1#line=2", "content_type": "application/json", "bytes": 2, "error": "not JSON: x"},
    {"ordinal": 2, "item": "given itself", "of a later gateway": True},
]


def test_a_plan_has_the_items_and_whether_there_are_more() -> None:
    plan = plan_of([*LINES, {"items": 3, "is_all": False, "error": "it breaks off"}])
    assert plan == Plan(
        (
            PlannedItem(0, {"a": 1}, "s3://b/1#line=1", "application/json", 7),
            PlannedItem(1, None, "s3://b/1#line=2", "application/json", 2, "not JSON: x"),
            PlannedItem(2, "given itself"),
        ),
        is_all=False,
        error="it breaks off",
    )
    assert plan_of([{"items": 0, "is_all": True}]) == Plan((), is_all=True)
    for lines in ([], LINES):
        with pytest.raises(GatewayFailed, match="no end"):
            plan_of(lines)


def test_a_plan_is_asked_for_as_the_job_would_be() -> None:
    def answer(step: Any) -> None:
        assert isinstance(step, Pour)
        assert step.request.path == "/v1/apis/echo/jobs?dry_run=true&limit=5"
        assert isinstance(step.request.body, bytes)
        assert json.loads(step.request.body) == {"item_list": {"items": [1]}, "config": {"a": 1}}
        for line in ({"ordinal": 0, "item": 1}, {"items": 1, "is_all": True}):
            step.take(json.dumps(line).encode() + b"\n")

    source = source_of([1], {"includes": [], "excludes": []})
    plan, _ = carry_out(planning("http://127.0.0.1:1", "echo", source, {"config": {"a": 1}}, 5), answer)
    assert plan == Plan((PlannedItem(0, 1),), is_all=True)


def test_no_refs_are_no_wish_for_all() -> None:
    assert wanted({}) == {}
    assert wanted({"refs": []}) == {"refs": []}
    assert wanted({"refs": ("0-1",)}) == {"refs": ["0-1"]}
    assert wanted({"stage": "predict", "message": "x"}) == {"stage": "predict", "message": "x"}


def test_a_replayed_job_is_the_one_that_runs_again() -> None:
    done = ReplayBody(api_name="echo", job_id="j1", generation=2, replayed=3)
    shown = iter([job(generation=1, is_final=True), job(generation=2)])

    def answer(call: Any) -> Any:
        return done if "replay" in call.request.path else next(shown)

    (body, found), steps = carry_out(job_replayed("j1", {"stage": "predict"}), answer)
    assert (body, found.generation, found.is_final) == (done, 2, False)
    assert asked(steps) == ["POST /v1/jobs/j1/dlq/replay", "GET /v1/jobs/j1", "GET /v1/jobs/j1"]


def test_a_job_of_which_nothing_was_replayed_is_as_it_was() -> None:
    done = ReplayBody(api_name="echo", job_id="j1", already_replayed=2)
    ended = job(generation=1, is_final=True)
    (body, found), _ = carry_out(job_replayed("j1", {}), lambda call: done if "dlq" in call.request.path else ended)
    assert (body, found) == (done, ended)


def test_a_replay_is_waited_for_as_long_as_a_gateway_may_take() -> None:
    assert calls.replay("jobs/j", {}).request.patience_s > 80
    assert calls.replay("jobs/a/b", {}).request.path == "/v1/jobs/a%2Fb/dlq/replay"
