"""Whom the end of a job is told, what signs, and what is said."""

import json
from dataclasses import replace
from typing import Any

import pytest
from pydantic import ValidationError

from stream_infer.gateway.board import KnownJob
from stream_infer.gateway.webhooks.message import delivery_of
from stream_infer.gateway.webhooks.target import check_webhook, kept_webhook, target_of
from stream_infer.http.problems import Problem
from stream_infer.jobs.counts import Counts
from stream_infer.jobs.spec import CONFIGURED, Job, JobSpec, WebhookSpec, decode_job, encode_job
from stream_infer.jobs.status import Cause, JobStatus, State
from stream_infer.ports import Posted
from stream_infer.settings import ApiSettings, Settings
from stream_infer.webhooks import DeliveryState, WebhookEvent, new_secret

ALL, OF_API, OF_JOB = new_secret(), new_secret(), new_secret()
FAILED = WebhookEvent.FAILED
ENDED = 1_700_000_000.25


def settings(webhooks: dict[str, Any] | None = None, webhook: dict[str, Any] | None = None) -> Settings:
    api = {"name": "echo", "predictor": {"type": "native", "target": "m:M"}, "webhook": webhook}
    return Settings.model_validate({"webhooks": webhooks or {}, "apis": [api]})


def target(said: Settings, webhook: Any) -> Any:
    return target_of(webhook, said.apis[0], said)


def spec(webhook: Any = None) -> JobSpec:
    return JobSpec.model_validate({"item_list": {"items": [1]}, "webhook": webhook})


class NobodyMayBeAsked:
    def objection(self, url: str) -> str | None:
        return "it is loopback"

    async def post(self, url: str, headers: Any, body: bytes) -> Posted:
        raise AssertionError

    async def close(self) -> None: ...


def test_the_job_comes_before_its_api_and_that_before_what_is_said_for_all() -> None:
    everywhere = settings(
        {"url": "https://all/", "secrets": [ALL]}, {"url": "https://api/", "secrets": [OF_API], "events": [FAILED]}
    )
    own = WebhookSpec(url="https://job/", secret=OF_JOB)

    assert (target(everywhere, own).url, list(target(everywhere, own).secrets)) == ("https://job/", [OF_JOB])
    of_api = target(everywhere, CONFIGURED)
    assert (of_api.url, list(of_api.secrets), of_api.events) == ("https://api/", [OF_API], {FAILED})
    of_all = target(settings({"url": "https://all/", "secrets": [ALL]}), CONFIGURED)
    assert (of_all.url, list(of_all.secrets), of_all.events) == ("https://all/", [ALL], set(WebhookEvent))


def test_a_job_without_a_secret_of_its_own_is_signed_with_those_of_its_api_or_of_all() -> None:
    own = WebhookSpec(url="https://job/")

    assert list(target(settings({"secrets": [ALL, OF_JOB]}), own).secrets) == [ALL, OF_JOB]
    with_api = settings({"secrets": [ALL]}, {"url": "https://api/", "secrets": [OF_API]})
    assert list(target(with_api, own).secrets) == [OF_API]
    assert list(target(settings({"secrets": [ALL]}, {"url": "https://api/"}), CONFIGURED).secrets) == [ALL]


def test_a_job_from_before_there_was_a_place_is_told_to_nobody_and_one_whose_place_has_moved_there() -> None:
    before, then = settings(), settings({"url": "https://then/", "secrets": [ALL]})
    now = settings({"url": "https://now/", "secrets": [ALL]})

    assert kept_webhook(spec(), before.apis[0], before) is None
    assert target(now, None) is None
    assert kept_webhook(spec(), then.apis[0], then) == CONFIGURED
    assert target(now, CONFIGURED).url == "https://now/"
    assert target(before, CONFIGURED) is None


OWN = WebhookSpec(url="https://h/?x=1", events=[FAILED], secret=OF_JOB)


@pytest.mark.parametrize("webhook", [None, CONFIGURED, OWN])
def test_a_job_keeps_what_it_said(webhook: Any) -> None:
    job = Job(job_id="j", api="echo", submitted_at=1.0, webhook=webhook)

    assert decode_job(encode_job(job)) == job
    assert OF_JOB not in repr(job)


def test_a_webhook_that_could_never_be_sent_is_refused_with_what_to_do() -> None:
    unsigned, signed = settings(), settings({"secrets": [ALL]})
    check_webhook(spec(), unsigned.apis[0], unsigned, NobodyMayBeAsked())
    check_webhook(spec({"url": "https://h/", "secret": OF_JOB}), unsigned.apis[0], unsigned, None)

    with pytest.raises(Problem, match="nothing to sign it with") as caught:
        check_webhook(spec("https://h/"), unsigned.apis[0], unsigned, None)
    assert [error.pointer for error in caught.value.document.errors or []] == ["/webhook/secret"]
    with pytest.raises(Problem, match="it is loopback") as caught:
        check_webhook(spec("http://127.0.0.1/"), signed.apis[0], signed, NobodyMayBeAsked())
    assert [error.pointer for error in caught.value.document.errors or []] == ["/webhook/url"]


def known(state: State = State.COMPLETED_WITH_FAILURES, **fields: Any) -> KnownJob:
    status = JobStatus(
        job_id="j", api="echo", state=state, counts=Counts(enqueued=3, succeeded=2, rejected=1), submitted_at=1.0,
        times={"validating": 1.0, state.value: ENDED}, objects=2, bytes=10, manifest="s3://b/echo/j/manifest.json",
        **fields,
    )  # fmt: skip
    return KnownJob(Job(job_id="j", api="echo", submitted_at=1.0, config={"password": "hunter2"}), status)


def event(of: KnownJob, public_url: str | None = None, **webhooks: Any) -> Any:
    said = settings({"url": "https://h/", "secrets": [ALL], **webhooks})
    return delivery_of(
        of, target(said, CONFIGURED), results_uri="s3://b/echo/j", public_url=public_url, now=ENDED + 9, patience_s=60.0
    )


def test_what_is_told_is_small_and_says_which_job_how_it_ended_and_where_to_read_on() -> None:
    delivery = event(known(errors=("no",), cause=Cause.FAILURE), "https://infer.example.org/")
    said = json.loads(delivery.body)

    assert (said["type"], said["timestamp"]) == ("job.completed_with_failures", "2023-11-14T22:13:20.250000Z")
    data = said["data"]
    assert (data["job_id"], data["api_name"], data["state"]) == ("j", "echo", "completed_with_failures")
    assert data["counts"]["rejected"] == 1
    assert data["times"]["completed_with_failures_at"] == ENDED
    assert (data["error"], data["results_uri"]) == ("no", "s3://b/echo/j")
    assert data["links"]["self"] == "https://infer.example.org/v1/jobs/j"
    assert "hunter2" not in delivery.body
    assert len(delivery.body) < 1500
    assert (delivery.at, delivery.next_at, delivery.until) == (ENDED, ENDED + 9, ENDED + 9 + 60)


def test_links_are_paths_where_nobody_has_said_what_they_begin_with() -> None:
    assert json.loads(event(known()).body)["data"]["links"]["results"] == "/v1/jobs/j/results"


def test_only_what_was_asked_for_is_told_and_nothing_before_the_end() -> None:
    assert event(known(), events=["job.failed"]) is None
    assert event(known(), events=[]) is None
    assert event(known(State.RUNNING)) is None
    assert event(known(State.FAILED), events=["job.failed"]).event is FAILED


def test_an_end_that_there_is_no_place_any_more_to_tell_is_withdrawn_until_somebody_names_one() -> None:
    told, nowhere = event(known()), event(known(), url=None)

    assert (nowhere.state, nowhere.attempts, nowhere.next_at) == (DeliveryState.WITHDRAWN, 0, None)
    assert "webhooks replay" in nowhere.reason
    assert (nowhere.id, nowhere.body) == (told.id, told.body)
    assert event(known(State.RUNNING), url=None) is None


def test_what_goes_into_no_message_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="body"):
        event(replace(known(), status=known().status.model_copy(update={"manifest": "\x01" * 16000})))


def test_it_is_tried_for_a_year_at_most() -> None:
    with pytest.raises(ValidationError, match="give_up_after"):
        settings({"give_up_after": 1e12})


def test_each_end_of_a_job_has_an_id_of_its_own_that_stays_the_same() -> None:
    first, again = event(known()), event(known(errors=("more",)))

    assert first.id == again.id
    assert event(known(generation=2)).id != first.id
    assert (
        ApiSettings.model_validate(settings().apis[0].model_dump()).version
        == settings({"secrets": [ALL]}, {"url": "https://h/"}).apis[0].version
    )
