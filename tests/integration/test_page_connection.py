"""The page and its gateway: keys, connections that end or fall silent, and a gateway that cannot answer."""

import re
import time
from pathlib import Path
from typing import Any

import pytest

from stream_infer.gateway import events
from stream_infer.http.keys import Scope, new_key
from stream_infer.http.keys_file import entry_text
from stream_infer.jobs.counts import Counts
from stream_infer.jobs.log_lines import LogLine, encode_line
from stream_infer.jobs.status import State
from stream_infer.records import OutgoingRecord
from tests.support.browser import visiting
from tests.support.gateway import GatewayHarness, HttpClient
from tests.support.page import client, goes_on, harness, job

__all__ = ["client", "harness", "job"]


def test_a_key_is_asked_for_sent_with_every_request_and_kept_in_the_tab_alone(
    chromium: Any, client: HttpClient
) -> None:
    with visiting(chromium, client.url) as page:
        seen: list[str] = []

        def guard(route: Any) -> None:
            key = route.request.headers.get("authorization")
            if key == "Bearer si_secret":
                seen.append(route.request.url)
                route.continue_()
            else:
                problem = '{"title":"Who asks?","status":401}'
                route.fulfill(status=401, content_type="application/problem+json", body=problem)

        page.route("**/v1/**", guard)
        page.reload()
        page.get_by_role("dialog", name="API key").wait_for()
        page.get_by_label("Key", exact=True).fill("si_secret")
        page.keyboard.press("Enter")
        page.get_by_role("table", name="APIs").get_by_role("link", name="echo").wait_for()
        paths = {url.removeprefix(client.url).partition("?")[0] for url in seen}
        assert paths >= {"/v1/apis", "/v1/jobs", "/v1/events"}
        assert page.evaluate("[sessionStorage.length, localStorage.length, document.cookie]") == [1, 0, ""]


def test_behind_keys_the_page_asks_for_one_and_does_what_that_may(
    chromium: Any, harness: GatewayHarness, job: str, tmp_path: Path
) -> None:
    reader, mine = new_key("reader", [Scope.READ]), new_key("me", [Scope.READ, Scope.SUBMIT])
    file = tmp_path / "keys.yaml"
    file.write_text("".join(entry_text(one.entry) for one in (reader, mine)))
    guarded = harness.settings.gateway.model_copy(update={"api_keys_file": file})
    goes_on(harness, job)
    with (
        harness.gateway(harness.settings.model_copy(update={"gateway": guarded})) as client,
        visiting(chromium, client.url, f"/#/jobs/{job}") as page,
    ):
        page.get_by_role("dialog", name="API key").wait_for()
        page.get_by_label("Key", exact=True).fill("si_mistyped")
        page.keyboard.press("Enter")
        page.get_by_role("dialog", name="API key").get_by_text("is not known here").wait_for()
        page.get_by_label("Key", exact=True).fill(reader.key)
        page.keyboard.press("Enter")
        page.get_by_text("60 of 100 items").wait_for()
        goes_on(harness, job, counts=Counts(enqueued=100, succeeded=70))
        page.get_by_text("70 of 100 items").wait_for()  # by server-sent events, which bring the key, too

        page.get_by_role("button", name="Stop job").click()
        page.get_by_role("dialog").get_by_role("button", name="Stop job").click()
        page.get_by_role("alert").filter(has_text="needs an API key with the scope submit").wait_for()
        page.get_by_role("button", name="API key").click()
        page.get_by_label("Key", exact=True).fill(mine.key)
        page.keyboard.press("Enter")
        page.get_by_role("dialog", name="API key").wait_for(state="hidden")
        page.get_by_text("70 of 100 items").wait_for()
        file.write_text(entry_text(reader.entry))
        page.get_by_role("dialog", name="API key").get_by_text("is not known here").wait_for()
        file.write_text("".join(entry_text(one.entry) for one in (reader, mine)))
        deadline = time.monotonic() + 20
        while not page.request.get(f"{client.url}/v1/apis", headers={"X-API-Key": mine.key}).ok:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        page.get_by_label("Key", exact=True).fill(mine.key)
        page.keyboard.press("Enter")
        goes_on(harness, job, state=State.STOPPED, counts=Counts(enqueued=100, succeeded=70))
        with page.expect_download() as saved:
            page.get_by_role("link", name="Results (JSON lines)").click()
        assert Path(saved.value.path()).read_bytes() == b""
    harness.status(job, state=State.STOPPED)


LOOKED_AT = """isSeen => {
  Object.defineProperty(document, "hidden", { configurable: true, get: () => !isSeen });
  document.dispatchEvent(new Event("visibilitychange"));
}"""


def test_a_tab_that_nobody_sees_holds_no_connection_and_misses_nothing(
    chromium: Any, harness: GatewayHarness, client: HttpClient, job: str
) -> None:
    """A browser has six connections to one address, for all tabs: the seventh was dead."""
    goes_on(harness, job)
    lines = [LogLine(at=time.time(), job_id=job, role="worker", who="w", line=text) for text in ("one", "two")]
    with visiting(chromium, client.url, f"/#/jobs/{job}") as page:
        page.locator("summary", has_text=re.compile("^Log$")).click()
        harness.send(OutgoingRecord(harness.topics.logs, job.encode(), encode_line(lines[0])))
        log = page.get_by_role("log").locator("li")
        log.filter(has_text="one").wait_for()
        with (
            page.expect_event("requestfailed", lambda request: f"{job}/events" in request.url),
            page.expect_event("requestfailed", lambda request: f"{job}/logs" in request.url),
        ):
            page.evaluate(LOOKED_AT, False)
        goes_on(harness, job, counts=Counts(enqueued=100, succeeded=90))
        harness.send(OutgoingRecord(harness.topics.logs, job.encode(), encode_line(lines[1])))
        with page.expect_request(lambda request: f"{job}/logs" in request.url) as asked:
            page.evaluate(LOOKED_AT, True)
        assert asked.value.all_headers()["last-event-id"].isdigit()
        page.get_by_text("90 of 100 items").wait_for()
        log.filter(has_text="two").wait_for()
        assert log.count() == 2, "what was read is not read again"
    harness.status(job, state=State.STOPPED)


def test_a_stream_that_has_gone_silent_is_given_up(chromium: Any, client: HttpClient) -> None:
    """Behind a machine that slept nothing comes any more, and nothing says so: the gateway speaks every 10 s."""
    with visiting(chromium, client.url) as page:
        page.clock.install()
        with page.expect_response("**/v1/events"):
            page.reload()
        with page.expect_request("**/v1/events"):
            page.clock.fast_forward(31_000)


def test_what_keeps_the_page_from_being_as_things_are_is_said(
    chromium: Any, harness: GatewayHarness, client: HttpClient, job: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    goes_on(harness, job)

    def fail(route: Any) -> None:
        problem = {"title": "A service that is needed does not answer", "detail": "Kafka has not answered."}
        route.fulfill(status=503, content_type="application/problem+json", json=problem)

    with visiting(chromium, client.url) as page:
        page.get_by_role("table", name="APIs").get_by_role("link", name="echo").wait_for()
        told = page.get_by_role("alert").filter(has_text="Kafka has not answered.")
        page.route("**/v1/apis", fail)
        told.wait_for()
        page.unroute("**/v1/apis")
        told.wait_for(state="detached")
        page.route("**/throughput", fail)
        page.goto(f"{client.url}/#/jobs/{job}")
        page.get_by_text("This cannot be brought up to date: Kafka has not answered.").wait_for()
    monkeypatch.setattr(events, "MAX_FOLLOWERS", 0)
    with visiting(chromium, client.url) as page:
        page.get_by_role("link", name=job).wait_for()
        later = client("POST", "/v1/apis/echo/jobs", {"item_list": {"items": [1]}}, status=202)["job_id"]
        page.get_by_role("row").filter(has_text=later).wait_for()
    harness.status(job, state=State.STOPPED)


def test_a_gateway_that_is_away_is_said_and_come_back_to(chromium: Any, client: HttpClient) -> None:
    with visiting(chromium, client.url) as page:
        page.get_by_role("table", name="APIs").get_by_role("link", name="echo").wait_for()
        page.route("**/v1/apis", lambda route: route.abort())
        page.get_by_text("The gateway does not answer").wait_for()
        page.unroute("**/v1/apis")
        page.get_by_text("The gateway does not answer").wait_for(state="hidden")
