import json
from collections.abc import Iterator
from typing import Any

import pytest

from connectors.formats.jsonl import error_line, result_line
from stream_infer.dead_letters import dead_letter, read_dead_letter
from stream_infer.errors import SourceError, Stage
from stream_infer.headers import item_headers, item_id_of, read_item
from stream_infer.jobs.manifest import Assembled, Kind, ManifestRecord
from stream_infer.jobs.status import Cause, JobStatus, Phase, State
from stream_infer.records import JSON, REFERENCE, Failure
from stream_infer.settings import Settings
from stream_infer.sink.outputs import Outputs
from tests.support.items import message_at
from tests.support.memory_store import MemoryStore

JOB = "batch_0123"
STATUS = JobStatus(job_id=JOB, api="echo", state=State.FINALIZING, phase=Phase.ASSEMBLE, requests="upload:there")
IDS = [f"r-{n}" for n in range(6)]


def headers(ordinal: int, kind: str = JSON) -> Any:
    return item_headers(
        job_id=JOB, item_id=item_id_of(JOB, ordinal), custom_id=f"r-{ordinal}", content_type=kind, source="x#line=1"
    )


def result(ordinal: int, value: bytes = b'{"n": 1}', kind: str = JSON) -> bytes:
    return result_line(message_at("echo.results", 0, ordinal, value, headers(ordinal, kind)))


def error(ordinal: int) -> bytes:
    item = read_item(message_at("echo.items", 0, ordinal, b"1", headers(ordinal)))
    failure = Failure(Stage.INPUT_FILTER, "stream_infer.errors.UnshapableInput", "it is a list")
    letter = dead_letter(item, failure, "echo.dlq", predictor="P", worker="w", api_version="1")
    message = message_at("echo.dlq", 0, ordinal, letter.value, letter.headers)
    return error_line(read_dead_letter(message))


def made(
    results: list[bytes], errors: list[bytes], ids: Any = None, store: MemoryStore | None = None, **fields: Any
) -> tuple[Assembled | None, str | None, dict[str, list[Any]]]:
    """The files by their names, each as its lines."""
    store = store or MemoryStore()
    records = []
    for kind, lines in ((Kind.RESULTS, results), (Kind.ERRORS, errors)):
        key = f"echo/{JOB}/{kind}/part.jsonl"
        store.put(key, b"".join(lines))
        records.append(
            ManifestRecord(
                job_id=JOB,
                api="echo",
                generation=1,
                kind=kind,
                key=key,
                topic="t",
                partition=0,
                first_offset=0,
                last_offset=9,
                first_ordinal=0,
                count=len(lines),
                bytes=1,
                sha256="",
            )
        )
    outputs = Outputs(Settings(), store, pytest.fail, read_ids=ids or (lambda uri: iter(IDS)))
    status = STATUS.model_copy(update=fields)
    assembled, fault = outputs.make(status, records, lambda _s=0.0: None, None)
    start = f"echo/{JOB}/assembled/"
    files = {key.removeprefix(start): data for key, data in store.objects.items() if key.startswith(start)}
    return assembled, fault, {name: [json.loads(line) for line in data.splitlines()] for name, data in files.items()}


def test_each_request_has_a_line_in_one_of_the_files() -> None:
    assembled, fault, files = made([result(0), result(2)], [error(1)])

    assert (assembled, fault) == (Assembled(output=f"memory:///echo/{JOB}/assembled/", objects=2), None)
    assert files == {
        "output.jsonl": [
            {
                "id": f"batch_req_0123-{ordinal}",
                "custom_id": f"r-{ordinal}",
                "response": {"status_code": 200, "request_id": f"{JOB}-{ordinal}", "body": {"n": 1}},
                "error": None,
            }
            for ordinal in (0, 2)
        ],
        "errors.jsonl": [
            {
                "id": "batch_req_0123-1",
                "custom_id": "r-1",
                "response": None,
                "error": {"code": "input_filter_failed", "message": "UnshapableInput: it is a list"},
            }
        ],
    }


def test_a_file_in_which_nothing_stands_is_not_there_also_where_it_was() -> None:
    store = MemoryStore()
    made([], [error(0)], store=store)
    assembled, _, files = made([result(0)], [], store=store)
    assert files.keys() == {"output.jsonl"}
    assert assembled is not None and assembled.objects == 1
    assert made([], [])[2] == {}


@pytest.mark.parametrize(
    ("cause", "code"),
    [(Cause.STOP, "batch_cancelled"), (Cause.TIMEOUT, "batch_expired"), (Cause.FAILURE, "batch_failed")],
)
def test_what_nobody_has_run_of_a_batch_that_ended_early_is_told(cause: Cause, code: str) -> None:
    _, fault, files = made([result(0), result(3)], [error(2)], cause=cause)

    assert fault is None
    assert [line["custom_id"] for line in files["output.jsonl"]] == ["r-0", "r-3"]
    said = {line["custom_id"]: line["error"]["code"] for line in files["errors.jsonl"]}
    assert said == {"r-1": code, "r-2": "input_filter_failed", "r-4": code, "r-5": code}
    # in the order of the file, each with its place
    assert [line["id"] for line in files["errors.jsonl"]] == [f"batch_req_0123-{n}" for n in (1, 2, 4, 5)]


def test_a_file_of_requests_that_is_gone_costs_no_answer() -> None:
    def broken(uri: str) -> Iterator[str]:
        yield "r-0"
        yield "r-1"
        raise SourceError(f"{uri} is not there")

    _, fault, files = made([result(0)], [error(4)], broken, cause=Cause.STOP)

    assert fault == "which of the requests were not run cannot be told: upload:there is not there"
    assert [line["custom_id"] for line in files["errors.jsonl"]] == ["r-1", "r-4", None]


def test_a_batch_of_which_nothing_can_be_told_has_a_file_that_says_so() -> None:
    """Or it would name one that is not there: how many requests there were the gateway knows, and the sink does not."""

    def gone(uri: str) -> Iterator[str]:
        yield from ()
        raise SourceError(f"{uri} is not there")

    for results in ([], [result(0)]):
        assembled, fault, files = made(results, [], gone, cause=Cause.FAILURE)

        assert assembled is not None and assembled.objects == 1 + len(results)
        assert files["errors.jsonl"] == [
            {
                "id": "batch_req_0123",
                "custom_id": None,
                "response": None,
                "error": {"code": "requests_unreadable", "message": fault},
            }
        ]


def test_a_body_is_what_the_predictor_said() -> None:
    store = MemoryStore()
    prefix = "memory:///_payloads/results/stream-infer.echo."
    store.put(f"{prefix.removeprefix('memory:///')}1", b'{"large":\n true}')
    address = json.dumps({"uri": f"{prefix}1", "content_type": JSON}).encode()
    gone = json.dumps({"uri": f"{prefix}2", "content_type": JSON}).encode()
    lines = [
        result(0, b'{"id": 123456789012345678901234567890}'),
        result(1, b"\x00\xff", "application/octet-stream"),
        result(2, address, REFERENCE),
        result(3, gone, REFERENCE),
        result(3, b'"sent again by hand"'),
        b"no line of ours\n",
        result(4, b"[1,\n2]"),
    ]

    files = made(lines, [], store=store)[2]

    assert [line["response"]["body"] for line in files["output.jsonl"]] == [
        {"id": 123456789012345678901234567890},
        {"base64": "AP8=", "content_type": "application/octet-stream"},
        {"large": True},
        json.loads(gone),
        [1, 2],
    ]
