"""Files and batches at the gateway, asked by OpenAI's own client; the test writes what tracker and sink would."""

import functools
import io
import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import urllib3

from stream_infer.gateway import receiving
from stream_infer.gateway.openai import batches as openai_batches
from stream_infer.gateway.openai import files as openai_files
from stream_infer.gateway.openai.lines import MOST_REQUESTS
from stream_infer.gateway.unused_uploads import UnusedUploads
from stream_infer.http.keys import NewKey, Scope, new_key
from stream_infer.http.keys_file import entry_text
from stream_infer.jobs.batches import answers_key
from stream_infer.jobs.counts import Counts
from stream_infer.jobs.events import StopRequested, Submitted
from stream_infer.jobs.spec import decode_job
from stream_infer.jobs.status import Cause, State
from stream_infer.kafka.admin import cluster_id
from stream_infer.uploads import UPLOADS, owner_of
from tests.support.gateway import GatewayHarness
from tests.support.services import missing
from tests.support.settings import settings_for

try:
    import openai
    from openai import OpenAI
except ImportError:
    missing("openai is not installed: make lock, make setup")

CHAT = "/v1/chat/completions"


def made(name: str, *scopes: Scope, **limits: Any) -> NewKey:
    key, entry = new_key(name, scopes)
    return NewKey(key, entry.model_copy(update=limits))


KEYS = {
    "one": made("one", Scope.READ, Scope.SUBMIT),
    "other": made("other", Scope.READ, Scope.SUBMIT),
    "reader": made("reader", Scope.READ),
    "lister": made("lister", Scope.READ, Scope.SUBMIT),
    "slow": made("slow", Scope.READ, requests_per_second=0.01, burst=1),
}


@pytest.fixture(scope="module")
def harness(bootstrap_servers: str, tmp_path_factory: pytest.TempPathFactory) -> GatewayHarness:
    folder = tmp_path_factory.mktemp("openai")
    keys = folder / "keys.yaml"
    keys.write_text("".join(entry_text(key.entry) for key in KEYS.values()))
    return GatewayHarness(
        settings_for(
            bootstrap_servers,
            f"t-openai-{time.time_ns()}",
            folder,
            gateway={"listen": "127.0.0.1:0", "api_keys_file": str(keys)},
            limits={"upload_bytes": 20_000_000, "uploads": 2},
            fetch={"max_bytes": 1_000_000},
        )
    )


@pytest.fixture(scope="module")
def url(harness: GatewayHarness) -> Iterator[str]:
    with harness.gateway() as client:
        yield f"{client.url}/v1"


def client_of(url: str, name: str = "one") -> OpenAI:
    return OpenAI(base_url=url, api_key=KEYS[name].key if name in KEYS else name, max_retries=0)


@pytest.fixture(scope="module")
def client(url: str) -> Iterator[OpenAI]:
    with client_of(url) as client:
        yield client


def request(number: int, model: Any = "echo", url: str = CHAT, **changed: Any) -> dict[str, Any]:
    body = {"model": model, "messages": [{"role": "user", "content": f"number {number}"}]}
    return {"custom_id": f"r-{number}", "method": "POST", "url": url, "body": body, **changed}


def lines(*requests: Any) -> bytes:
    return b"".join((one if isinstance(one, bytes) else json.dumps(one).encode()) + b"\n" for one in requests)


def sent(client: OpenAI, data: bytes, name: str = "requests.jsonl", **more: Any) -> Any:
    return client.files.create(file=(name, data), purpose="batch", **more)


def begun(client: OpenAI, *requests: Any, **more: Any) -> Any:
    file = sent(client, lines(*(requests or (request(1), request(2)))))
    asked = {"endpoint": CHAT, "completion_window": "24h", **more}
    return client.batches.create(input_file_id=file.id, **asked)


def status(harness: GatewayHarness, batch_id: str, state: State, **fields: Any) -> None:
    times = {State.ENQUEUING.value: 1000.5, state.value: 2000.5, **fields.pop("times", {})}
    harness.status(batch_id, state=state, times=times, **fields)


def test_a_file_is_kept_read_and_deleted(harness: GatewayHarness, client: OpenAI, monkeypatch: Any) -> None:
    monkeypatch.setattr(receiving, "PART_BYTES", 1000)
    data = lines(*(request(number) for number in range(100)))

    file = sent(client, data, "my requests.jsonl")

    assert (file.bytes, file.filename, file.purpose) == (len(data), "my requests.jsonl", "batch")
    assert (file.object, file.status) == ("file", "processed")
    assert file.expires_at - file.created_at == 30 * 86400
    assert client.files.retrieve(file.id) == file
    assert client.files.wait_for_processing(file.id) == file
    assert client.files.content(file.id).read() == data
    assert file.id in {one.id for one in client.files.list()}

    gone = client.files.delete(file.id)
    assert (gone.id, gone.deleted) == (file.id, True)
    for ask in (client.files.retrieve, client.files.content, client.files.delete):
        with pytest.raises(openai.NotFoundError, match="No file is named") as caught:
            ask(file.id)
        assert (caught.value.code, caught.value.type) == ("unknown_file", "invalid_request_error")
    upload = file.id.removeprefix("file-").rpartition("-")[0]
    assert not list(harness.store.list(f"{UPLOADS}{upload}"))


def test_a_file_may_be_kept_for_a_shorter_time_and_the_form_may_come_in_any_order(client: OpenAI, url: str) -> None:
    file = sent(client, lines(request(1)), expires_after={"anchor": "created_at", "seconds": 3600})
    assert file.expires_at - file.created_at == 3600

    form = [("file", ("a.jsonl", lines(request(1)))), ("purpose", "batch")]
    answer = urllib3.request("POST", f"{url}/files", fields=form, headers={"X-API-Key": KEYS["one"].key})
    assert answer.status == 200, answer.data
    assert answer.json()["filename"] == "a.jsonl"


@pytest.mark.parametrize(
    ("fields", "param", "said"),
    [
        ({"purpose": "fine-tune"}, "purpose", "'fine-tune' is not taken"),
        ({"purpose": "batch", "extra": "1"}, "extra", "not known"),
        ({}, "purpose", "it is missing"),
        ({"purpose": "batch", "expires_after[anchor]": "created_at"}, "seconds", "required"),
        ({"purpose": "batch", "file": None}, "file", "it is missing"),
        ({"purpose": "b" * 2000}, "purpose", "more than 1024 bytes"),
    ],
)
def test_a_form_that_is_wrong_is_refused_and_leaves_nothing(
    harness: GatewayHarness, url: str, fields: dict[str, Any], param: str, said: str
) -> None:
    before = len(list(harness.store.list(UPLOADS)))
    form = {"file": ("a.jsonl", lines(request(1))), **fields}
    form = {name: value for name, value in form.items() if value is not None}

    answer = urllib3.request("POST", f"{url}/files", fields=form, headers={"X-API-Key": KEYS["one"].key})

    error = answer.json()["error"]
    assert (answer.status, error["param"], error["type"]) == (400, param, "invalid_request_error"), error
    assert said in error["message"]
    assert len(list(harness.store.list(UPLOADS))) == before


def test_files_are_listed_in_pages_by_time_and_by_purpose(harness: GatewayHarness, url: str) -> None:
    with client_of(url, "lister") as client:
        files = [sent(client, lines(request(number))).id for number in range(5)]
        batch = client.batches.create(input_file_id=files[0], endpoint=CHAT, completion_window="24h")
        counts = Counts(enqueued=1, succeeded=1, written=1, sunk=1)
        status(harness, batch.id, State.SUCCEEDED, counts=counts, times={"succeeded": time.time() + 60})
        harness.store.put(answers_key("echo", batch.id, "output"), b"12345")
        output = client.batches.retrieve(batch.id).output_file_id

        newest = [one.id for one in client.files.list(limit=2)]
        assert newest == [output, *sorted(files, reverse=True)]
        assert [one.id for one in client.files.list(limit=1, order="asc")] == newest[::-1]
        assert [one.id for one in client.files.list(purpose="batch")] == newest[1:]
        [only] = client.files.list(purpose="batch_output")
        assert (only.id, only.bytes, only.filename) == (output, 5, f"{batch.id}_output.jsonl")
        page = client.files.list(after=newest[1], limit=2)
        assert ([one.id for one in page.data], page.has_more) == (newest[2:4], True)
        for query in ({"order": "sideways"}, {"limit": 0}, {"extra_query": {"page": 1}}):
            with pytest.raises(openai.BadRequestError):
                client.files.list(**query)
        with pytest.raises(openai.NotFoundError):
            client.files.list(after="file-nothing")

        # One may be deleted as soon as it was listed.
        for one in client.files.list(limit=1, purpose="batch"):
            if one.id != files[0]:
                client.files.delete(one.id)
        assert [one.id for one in client.files.list()] == [output, files[0]]

        client.files.delete(output)
        assert [one.id for one in client.files.list()] == [files[0]]
        with pytest.raises(openai.NotFoundError):
            client.files.content(output)


def test_a_batch_is_a_job_of_the_api_that_its_model_names(harness: GatewayHarness, client: OpenAI) -> None:
    batch = begun(client, metadata={"customer": "7"}, completion_window="90m")

    assert (batch.object, batch.status, batch.model, batch.endpoint) == ("batch", "validating", "echo", CHAT)
    assert (batch.metadata, batch.completion_window) == ({"customer": "7"}, "90m")
    assert batch.expires_at - batch.created_at == 5400
    assert batch.request_counts.to_dict() == {"total": 2, "completed": 0, "failed": 0}
    assert (batch.output_file_id, batch.errors, batch.in_progress_at) == (None, None, None)
    assert client.batches.retrieve(batch.id) == batch

    [job] = [decode_job(one.value or b"") for one in harness.read(harness.topics.jobs) if one.key == batch.id.encode()]
    assert (job.api, job.timeout, job.items) == ("echo", 5400.0, 2)
    assert job.batch is not None and job.batch.caller == "one"
    [event] = harness.events(batch.id)
    assert isinstance(event, Submitted)
    assert event.requests == job.file_uri
    assert (event.requests or "").startswith("upload:")


@pytest.mark.parametrize(
    ("state", "fields", "shown", "times"),
    [
        (State.ENQUEUING, {}, "in_progress", {"in_progress_at": 2000}),
        (State.RUNNING, {}, "in_progress", {"in_progress_at": 1000}),
        (State.FINALIZING, {}, "finalizing", {"finalizing_at": 2000}),
        (State.SUCCEEDED, {}, "completed", {"completed_at": 2000}),
        (State.COMPLETED_WITH_FAILURES, {}, "completed", {"completed_at": 2000}),
        (State.STOPPING, {"cause": Cause.STOP}, "cancelling", {"cancelling_at": 2000}),
        (State.FINALIZING, {"cause": Cause.STOP}, "cancelling", {"finalizing_at": 2000}),
        (State.STOPPED, {"cause": Cause.STOP}, "cancelled", {"cancelled_at": 2000}),
        (State.STOPPING, {"cause": Cause.TIMEOUT}, "finalizing", {"finalizing_at": 2000}),
        (State.TIMED_OUT, {"cause": Cause.TIMEOUT}, "expired", {"expired_at": 2000}),
        (State.FAILED, {"cause": Cause.FAILURE, "errors": ("too many fail",)}, "failed", {"failed_at": 2000}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_jobs_states_are_a_batchs(
    harness: GatewayHarness, client: OpenAI, state: State, fields: Any, shown: str, times: Any
) -> None:
    batch = begun(client)
    counts = Counts(enqueued=2, succeeded=1, rejected=1, written=2, sunk=2)

    status(harness, batch.id, state, counts=counts, **fields)

    seen = client.batches.retrieve(batch.id)
    assert seen.status == shown
    assert {"in_progress_at": 1000, **times}.items() <= seen.to_dict().items()
    assert seen.request_counts.to_dict() == {"total": 2, "completed": 1, "failed": 1}
    has_files = state.is_final
    assert (seen.output_file_id is not None, seen.error_file_id is not None) == (has_files, has_files)
    assert (seen.errors is not None) == (shown == "failed")
    if seen.errors is not None:
        assert [(one.code, one.message) for one in seen.errors.data] == [("batch_failed", "too many fail")]


def test_the_answers_are_read_as_files_of_their_own(harness: GatewayHarness, client: OpenAI, monkeypatch: Any) -> None:
    monkeypatch.setattr(openai_files, "PIECE_BYTES", 10)
    batch = begun(client)
    status(harness, batch.id, State.SUCCEEDED, counts=Counts(enqueued=2, succeeded=2, written=2, sunk=2))
    harness.store.put(answers_key("echo", batch.id, "output"), b'{"custom_id": "r-1"}\n{"custom_id": "r-2"}\n')

    seen = client.batches.retrieve(batch.id)

    assert seen.error_file_id is None
    file = client.files.retrieve(seen.output_file_id)
    assert (file.purpose, file.bytes, file.created_at) == ("batch_output", 42, 2000)
    content = client.files.content(seen.output_file_id)
    assert [json.loads(line)["custom_id"] for line in content.text.splitlines()] == ["r-1", "r-2"]
    assert content.response.headers["content-type"] == "application/octet-stream"
    with pytest.raises(openai.BadRequestError, match="it has the answers of a batch"):
        client.batches.create(input_file_id=seen.output_file_id, endpoint=CHAT, completion_window="24h")


def test_a_batch_is_cancelled_once_and_one_that_has_ended_is_not(harness: GatewayHarness, client: OpenAI) -> None:
    batch = begun(client)
    status(harness, batch.id, State.STOPPING, cause=Cause.STOP)  # as the tracker will, a moment later
    assert client.batches.cancel(batch.id).status == "cancelling"

    running = begun(client)
    status(harness, running.id, State.RUNNING)
    # There is no tracker that would show the stop.
    assert client.batches.cancel(running.id).status == "in_progress"
    assert [event for event in harness.events(running.id) if isinstance(event, StopRequested)]

    status(harness, batch.id, State.STOPPED, cause=Cause.STOP)
    assert client.batches.cancel(batch.id).status == "cancelled"
    status(harness, running.id, State.SUCCEEDED)
    with pytest.raises(openai.ConflictError, match="cannot be cancelled: it is completed") as caught:
        client.with_options(max_retries=2).batches.cancel(running.id)
    assert caught.value.response.headers["x-should-retry"] == "false"
    with pytest.raises(openai.NotFoundError, match="No batch is named"):
        client.batches.cancel("batch_nothing")


def test_a_file_that_is_not_valid_fails_its_batch_line_by_line(client: OpenAI) -> None:
    batch = begun(
        client,
        request(1),
        b"{broken",
        b'["a list"]',
        b"",
        request(1),
        request(3, model="another"),
        request(4, url="/v1/embeddings"),
        request(5, url="/v1/elsewhere"),
        request(6, method="GET"),
        request(7, body="text"),
        request(8, body={}),
        request(9, custom_id=9),
        {"custom_id": "r-10"},
        request(11, body={"model": "echo", "text": "x" * 1_000_001}),
    )

    assert batch.status == "failed"
    assert batch.failed_at == batch.created_at
    errors = {one.line: one for one in batch.errors.data}
    assert {line: one.code for line, one in errors.items()} == {
        2: "invalid_json_line",
        3: "invalid_json_line",
        5: "duplicate_custom_id",
        6: "mismatched_model",
        7: "mismatched_url",
        8: "invalid_url",
        9: "invalid_method",
        10: "invalid_body",
        11: "missing_required_parameter",
        12: "invalid_custom_id",
        13: "missing_required_parameter",
        14: "line_too_long",
    }
    assert "column 2" in errors[2].message
    assert "that of line 1" in errors[5].message
    assert (errors[6].param, errors[13].param) == ("body.model", "method")
    assert client.batches.retrieve(batch.id) == batch
    with pytest.raises(openai.ConflictError, match="it is failed"):
        client.batches.cancel(batch.id)


@pytest.mark.parametrize(
    ("data", "asked", "codes"),
    [
        (b"\n \n", {}, [("empty_file", None), ("mismatched_url", None)]),
        (lines(request(1, model="ecko")), {}, [("model_not_found", 1)]),
        (b"\n" + lines(request(1)), {"endpoint": "/v1/responses"}, [("mismatched_url", 2)]),
        (
            lines(*(request(n) for n in range(MOST_REQUESTS + 1))),
            {},
            [("too_many_requests", None)],
        ),
    ],
    ids=["empty", "no such model", "another endpoint", "too many"],
)
def test_a_file_that_does_not_fit_its_batch_fails_it(client: OpenAI, data: bytes, asked: Any, codes: Any) -> None:
    file = sent(client, data)
    batch = client.batches.create(input_file_id=file.id, **{"endpoint": CHAT, "completion_window": "24h", **asked})
    assert batch.status == "failed"
    assert [(one.code, one.line) for one in batch.errors.data] == codes[:1]
    if codes[0][0] == "model_not_found":
        assert "Did you mean 'echo'?" in batch.errors.data[0].message


def test_a_predictors_own_path_names_the_api_and_takes_any_json(harness: GatewayHarness, client: OpenAI) -> None:
    own = "/v1/apis/echo/predict"
    batch = begun(client, request(1, url=own, body=[1, 2]), request(2, url=own, body="text"), endpoint=own)
    assert (batch.status, batch.model) == ("validating", "echo")
    nowhere = "/v1/apis/nothing/predict"
    failed = begun(client, request(1, url=nowhere, body=1), endpoint=nowhere)
    assert [one.code for one in failed.errors.data] == ["model_not_found"]


@pytest.mark.parametrize(
    ("changed", "param"),
    [
        ({"completion_window": "soon"}, "completion_window"),
        ({"completion_window": "0h"}, "completion_window"),
        ({"completion_window": "9999999d"}, "completion_window"),
        ({"endpoint": "/v1/elsewhere"}, "endpoint"),
        ({"metadata": {"k": "v" * 513}}, "metadata.k"),
        ({"output_expires_after": {"anchor": "created_at", "seconds": 3600}}, "output_expires_after"),
        ({"extra_body": {"priority": 1}}, "priority"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_a_batch_cannot_be_is_told_with_the_parameter(client: OpenAI, changed: Any, param: str) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        begun(client, **changed)
    assert (caught.value.param, caught.value.type) == (param, "invalid_request_error")


def test_batches_are_listed_newest_first_in_pages_with_those_that_failed(url: str) -> None:
    with client_of(url, "lister") as client:
        before = {one.id for one in client.batches.list()}
        batches = [begun(client, *((request(1, model="nobody"),) if number % 2 else ())) for number in range(5)]

        listed = [one for one in client.batches.list(limit=2) if one.id not in before]

        assert {one.id for one in listed} == {one.id for one in batches}
        assert [one.created_at for one in listed] == sorted((one.created_at for one in listed), reverse=True)
        assert sorted(one.status for one in listed) == ["failed", "failed", "validating", "validating", "validating"]
        first = client.batches.list(limit=2)
        assert first.has_more
        assert [one.id for one in first.data] == [one.id for one in listed[:2]]
        rest = client.batches.list(after=first.data[-1].id, limit=100)
        assert [one.id for one in rest.data][:3] == [one.id for one in listed[2:]]
        assert not rest.has_more
        with pytest.raises(openai.NotFoundError):
            client.batches.list(after="batch_nothing")


def test_a_file_that_a_batch_reads_is_not_deleted_before_its_end(harness: GatewayHarness, client: OpenAI) -> None:
    batch = begun(client)
    with pytest.raises(openai.ConflictError, match=f"{batch.id} still reads"):
        client.files.delete(batch.input_file_id)
    status(harness, batch.id, State.SUCCEEDED)
    client.files.delete(batch.input_file_id)


def test_nobody_sees_what_is_another_callers(harness: GatewayHarness, client: OpenAI, url: str) -> None:
    batch = begun(client)
    failed = begun(client, request(1, model="nobody"))
    status(harness, batch.id, State.SUCCEEDED, counts=Counts(enqueued=2, succeeded=2, written=2, sunk=2))
    harness.store.put(answers_key("echo", batch.id, "output"), b"secret")
    output = client.batches.retrieve(batch.id).output_file_id
    with client_of(url, "other") as other:
        for file_id in (batch.input_file_id, output):
            for ask in (other.files.retrieve, other.files.content, other.files.delete):
                with pytest.raises(openai.NotFoundError):
                    ask(file_id)
        for batch_id in (batch.id, failed.id):
            for look in (other.batches.retrieve, other.batches.cancel):
                with pytest.raises(openai.NotFoundError):
                    look(batch_id)
        with pytest.raises(openai.NotFoundError):
            other.batches.create(input_file_id=batch.input_file_id, endpoint=CHAT, completion_window="24h")
        assert not {batch.id, failed.id} & {one.id for one in other.batches.list()}
        assert not {batch.input_file_id, output} & {one.id for one in other.files.list()}


def test_who_may_not_or_asks_too_often_is_told_in_openais_words(url: str) -> None:
    with client_of(url, "si_0_wrong") as wrong, pytest.raises(openai.AuthenticationError) as caught:
        wrong.files.list()
    assert (caught.value.code, caught.value.type) == ("invalid_api_key", "invalid_request_error")
    assert "not known here" in caught.value.message
    with client_of(url, "reader") as reader:
        with pytest.raises(openai.PermissionDeniedError, match="scope submit"):
            sent(reader, lines(request(1)))
        assert reader.batches.list().data == []
    with client_of(url, "slow") as slow:
        slow.batches.list()
        with pytest.raises(openai.RateLimitError) as limited:
            slow.batches.list()
    assert limited.value.code == "rate_limit_exceeded"
    assert int(limited.value.response.headers["retry-after"]) > 0


def test_what_is_not_there_is_told_in_openais_words_too(client: OpenAI) -> None:
    with pytest.raises(openai.APIStatusError, match="has no PUT; it has GET, POST") as caught:
        client.put("/files", cast_to=object)
    assert (caught.value.status_code, caught.value.code) == (405, "method_not_allowed")
    body: Any = {"model": "echo", "messages": []}
    for ask in (
        lambda: client.get("/batches/none/of/these", cast_to=object),
        lambda: client.delete("/files/none/content/either", cast_to=object),
        lambda: client.chat.completions.create(**body),
        client.models.list,
    ):
        with pytest.raises(openai.NotFoundError, match="is no path here") as missing:
            ask()
        assert (missing.value.code, missing.value.type) == ("unknown_path", "invalid_request_error")


def test_a_file_that_is_too_large_is_413_and_leaves_nothing(harness: GatewayHarness, client: OpenAI) -> None:
    before = len(list(harness.store.list(UPLOADS)))
    for size in (20_000_001, 21_000_000):  # one that only its end tells, one that its length does
        with pytest.raises(openai.APIStatusError) as caught:
            sent(client, b" " * size)
        assert caught.value.status_code == 413
        assert "limits.upload_bytes is 20000000" in caught.value.message
    with pytest.raises(openai.BadRequestError, match="empty"):
        sent(client, b"")
    assert len(list(harness.store.list(UPLOADS))) == before


def test_a_page_of_others_sends_no_file_and_cancels_no_batch(client: OpenAI, url: str) -> None:
    batch = begun(client)
    headers = {"X-API-Key": KEYS["one"].key, "Origin": "http://elsewhere.example"}
    form = {"purpose": "batch", "file": ("a.jsonl", lines(request(1)))}
    for answer in (
        urllib3.request("POST", f"{url}/files", fields=form, headers=headers),
        urllib3.request("POST", f"{url}/batches/{batch.id}/cancel", headers=headers),
    ):
        assert (answer.status, answer.json()["error"]["code"]) == (403, "foreign_origin")


def test_files_and_batches_are_found_by_a_gateway_that_starts_later(
    harness: GatewayHarness, client: OpenAI, tmp_path: Path
) -> None:
    batch, failed = begun(client), begun(client, request(1, model="nobody"))
    with harness.gateway() as other, client_of(f"{other.url}/v1") as later:
        assert later.batches.retrieve(batch.id) == client.batches.retrieve(batch.id)
        assert later.batches.retrieve(failed.id) == failed
        assert later.files.retrieve(batch.input_file_id) == client.files.retrieve(batch.input_file_id)
        assert later.files.content(batch.input_file_id).read() == lines(request(1), request(2))
        with_file = later.files.create(file=io.BytesIO(lines(request(1))), purpose="batch")
    assert client.files.retrieve(with_file.id) == with_file


class HeldStore:
    """A store in which the calls of a test's choice wait, behind what they do or before it, until they may go on."""

    def __init__(self, store: Any, method: str, part: str, *, nth: int = 1, behind: bool = True) -> None:
        self._store = store
        self._held = (method, part)
        self._left, self._behind = nth, behind
        self.reached, self.may_go_on = threading.Event(), threading.Event()

    def __getattr__(self, name: str) -> Any:
        member = getattr(self._store, name)
        return member if name != self._held[0] else functools.partial(self._call, member)

    def _call(self, member: Any, key: str, *more: Any) -> Any:
        self._left -= self._held[1] in key
        is_held = self._held[1] in key and self._left == 0
        if is_held and not self._behind:
            self._wait()
        try:
            return member(key, *more)
        finally:
            if is_held and self._behind:
                self._wait()

    def _wait(self) -> None:
        self.reached.set()
        assert self.may_go_on.wait(30)


@pytest.mark.parametrize(
    ("method", "part", "nth"),
    [
        pytest.param("exists", UPLOADS, 1, id="before it holds the file's name"),
        pytest.param("get", "/files/", 2, id="behind it"),
    ],
)
def test_a_batch_is_not_begun_of_a_file_that_another_gateway_deletes_meanwhile(
    harness: GatewayHarness, client: OpenAI, method: str, part: str, nth: int
) -> None:
    file = sent(client, lines(request(1)))
    held = HeldStore(harness.store, method, part, nth=nth)
    with (
        harness.gateway(store=held) as other,
        client_of(f"{other.url}/v1") as slow,
        ThreadPoolExecutor(1) as pool,
    ):
        asked = {"endpoint": CHAT, "completion_window": "24h"}
        begun = pool.submit(lambda: slow.batches.create(input_file_id=file.id, **asked))
        assert held.reached.wait(30)
        try:
            assert client.files.delete(file.id).deleted
        finally:
            held.may_go_on.set()
        with pytest.raises(openai.NotFoundError, match="No file is named"):
            begun.result(30)
    jobs = [decode_job(one.value or b"") for one in harness.read(harness.topics.jobs)]
    assert not [job for job in jobs if job.batch is not None and job.batch.input_file_id == file.id]


def test_a_file_is_not_deleted_of_which_another_gateway_begins_a_batch_meanwhile(
    harness: GatewayHarness, client: OpenAI
) -> None:
    file = sent(client, lines(request(1)))
    held = HeldStore(harness.store, "delete", "/files/", behind=False)
    with (
        harness.gateway(store=held) as other,
        client_of(f"{other.url}/v1") as slow,
        ThreadPoolExecutor(1) as pool,
    ):
        deleted = pool.submit(lambda: slow.files.delete(file.id))
        assert held.reached.wait(30)
        try:
            batch = client.batches.create(input_file_id=file.id, endpoint=CHAT, completion_window="24h")
        finally:
            held.may_go_on.set()
        with pytest.raises(openai.ConflictError, match=f"{batch.id} still reads"):
            deleted.result(30)
        assert slow.files.retrieve(file.id) == file
    assert client.files.content(file.id).read() == lines(request(1))


def test_no_batch_is_begun_of_a_file_that_is_about_to_go(client: OpenAI, monkeypatch: pytest.MonkeyPatch) -> None:
    """A gateway that sweeps would not see the batch yet."""
    file = sent(client, lines(request(1)), expires_after={"anchor": "created_at", "seconds": 3600})
    monkeypatch.setattr(openai_batches, "FILE_STAYS_S", 3601.0)
    with pytest.raises(openai.NotFoundError, match="its time is over"):
        client.batches.create(input_file_id=file.id, endpoint=CHAT, completion_window="24h")
    assert client.files.retrieve(file.id) == file


def test_a_file_stays_until_its_time_is_over(harness: GatewayHarness, client: OpenAI) -> None:
    """Though no job names it; and then its upload goes with those that nobody uses."""
    short = sent(client, lines(request(1)), expires_after={"anchor": "created_at", "seconds": 3600})
    long = sent(client, lines(request(2)))
    failed = begun(client, request(1, model="nobody"))

    class Later:
        """The gateway's services, so many seconds from now."""

        def __init__(self, seconds: float) -> None:
            self.settings, self.store = harness.settings, harness.store
            self.owner = owner_of(cluster_id(harness.settings.kafka), harness.settings.kafka.topic_prefix)
            self._seconds = seconds

        def clock(self) -> float:
            return time.time() + self._seconds

    def swept(seconds: float) -> frozenset[str]:
        sweeper: Any = UnusedUploads(Later(seconds))  # type: ignore[arg-type]
        return frozenset(sweeper._kept_files())

    def upload(file: Any) -> str:
        return str(file.id.removeprefix("file-").rpartition("-")[0])

    assert {upload(short), upload(long)} <= swept(0)
    assert upload(short) not in swept(3700) and upload(long) in swept(3700)
    with pytest.raises(openai.NotFoundError):
        client.files.retrieve(short.id)
    assert client.files.retrieve(long.id) == long
    assert client.batches.retrieve(failed.id) == failed
    assert swept(31 * 86400) == frozenset()
    for ask in (lambda: client.files.retrieve(long.id), lambda: client.batches.retrieve(failed.id)):
        with pytest.raises(openai.NotFoundError):
            ask()
