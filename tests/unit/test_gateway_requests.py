"""What the gateway makes of a request, without a gateway."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from stream_infer.errors import (
    ConfigError,
    Fenced,
    ServiceUnavailable,
    SourceError,
    StreamInferError,
    TopicMismatch,
    TransactionAborted,
)
from stream_infer.gateway.app import application
from stream_infer.gateway.dead_letters.bodies import readable
from stream_infer.gateway.items import check_line, read_lines
from stream_infer.gateway.openapi import openapi_document
from stream_infer.gateway.services import Services
from stream_infer.gateway.source_policy import check_source, plain_directory
from stream_infer.gateway.submission import job_id_of, read_spec, request_hash
from stream_infer.gateway.validation import json_pointer
from stream_infer.http.address import Address, listen_address
from stream_infer.http.json_text import MalformedJson, parse_json, to_json
from stream_infer.http.problems import Problem, ProblemKind, hint, problem_of, unknown_api
from stream_infer.jobs.sources import Directory
from stream_infer.jobs.spec import JobSpec
from stream_infer.predictor_settings import NativePredictor
from stream_infer.settings import ApiSettings, FetchSettings, Settings, WorkerSettings

API = ApiSettings(name="cats", predictor=NativePredictor(target="m:M"), workers=WorkerSettings(max=4))


def problem_in(value: Any) -> Problem:
    with pytest.raises(Problem) as caught:
        read_spec(value, Settings(), API)
    return caught.value


def test_the_document_is_valid_openapi_3_1_and_has_every_route() -> None:
    document = json.loads(to_json(openapi_document()))
    OpenAPIV31SpecValidator(document).validate()

    services = cast("Services", SimpleNamespace(settings=Settings(), configured=Settings(), deployed=None))
    served = {
        (route.resource.canonical, route.method.lower())
        for route in application(services).router.routes()
        if route.resource is not None and route.method != "HEAD"
    }
    assert served == {(path, method) for path, methods in document["paths"].items() for method in methods}


def test_every_kind_of_problem_is_a_complete_rfc_9457_document() -> None:
    for kind in ProblemKind:
        response = Problem(kind, "what, where, what to do", line=3).response()
        document = json.loads(response.body)
        assert response.content_type == "application/problem+json"
        assert document == {
            "type": f"urn:stream-infer:problem:{kind.slug}",
            "title": kind.title,
            "status": response.status,
            "detail": "what, where, what to do",
            "line": 3,
        }
        assert ("Retry-After" in response.headers) == (response.status == 503)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ServiceUnavailable("x"), 503),
        (TransactionAborted("x"), 503),
        (Fenced("x"), 503),
        (TopicMismatch("x"), 503),
        (SourceError("x"), 422),
        (StreamInferError("x"), 500),
    ],
)
def test_an_error_of_ours_has_its_status(error: StreamInferError, status: int) -> None:
    assert problem_of(error).status == status


def test_a_key_names_one_job_per_caller_and_bodies_are_told_apart() -> None:
    assert job_id_of("a", "k") == job_id_of("a", "k")
    assert len({job_id_of("a", "k"), job_id_of("b", "k"), job_id_of("a", "l"), job_id_of("ak", "")}) == 4
    assert request_hash("api", b"1") == request_hash("api", b"1")
    assert len({request_hash("api", b"1"), request_hash("api", b"2"), request_hash("api1", b"")}) == 3


def test_a_wrong_spec_is_told_where_and_what_is_meant() -> None:
    problem = problem_in({"item_list": {"items": [1], "batch_sze": 2}, "timeout": "soon"})
    errors = {error.pointer: error.detail for error in problem.document.errors or []}
    assert "Did you mean 'batch_size'? Known keys: items, batch_size" in errors["/item_list/batch_sze"]
    assert "'soon'" in errors["/timeout"]
    assert "exactly one source" in str(problem_in({}))
    assert "item_list and jsonl" in str(problem_in({"item_list": {"items": [1]}, "jsonl": {"uri": "s3://b/k"}}))
    assert "JSON object" in str(problem_in(None))


def test_a_pointer_escapes_as_rfc_6901_says() -> None:
    assert json_pointer(()) == ""
    assert json_pointer(("a/b", 0, "c~d")) == "/a~1b/0/c~0d"


def test_a_source_is_allowed_below_what_the_settings_list_and_nowhere_else(tmp_path: Path) -> None:
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    inside.mkdir()
    outside.mkdir()
    (inside / "way-out").symlink_to(outside)
    fetch = FetchSettings(allowed_directories=[inside], allowed_s3_prefixes=["s3://b/in"])

    def refusal(kind: str, place: str) -> str:
        name = "uri" if kind == "jsonl" else "path"
        try:
            check_source(JobSpec.model_validate({kind: {name: place}}), fetch)
        except Problem as problem:
            return str(problem)
        return ""

    for allowed in (inside.as_uri() + "/a.jsonl", f"{inside}/a.jsonl", "s3://b/in/a.jsonl"):
        assert refusal("jsonl", allowed) == ""
    assert refusal("directory", inside.as_uri()) == ""
    for refused in (f"{inside}/../outside/x", f"{inside}/way-out/x", f"{inside}/%2e%2e/x".replace("/inside", "")):
        assert "fetch.allowed_directories" in refusal("jsonl", refused)
    assert "fetch.allowed_directories" in refusal("jsonl", f"file://{inside}/%2e%2e/outside/x")
    for refused in ("s3://b/inner", "s3://c/in/x", "s3://b"):
        assert "fetch.allowed_s3_prefixes" in refusal("jsonl", refused)
    for nonsense in ("x", "", "file://host/x", "file://[", "s3:///x", "s3://b/in/../x", "http://h/x", "/a\0b"):
        assert refusal("jsonl", nonsense)
    assert "give it as s3_prefix" in refusal("directory", "s3://b/in/")
    assert plain_directory(Directory(path="file:///a%20b")).path == "/a b"


@pytest.mark.parametrize(
    ("source", "pointer"),
    [
        (lambda place: {"manifest": {"uri": place}}, "/manifest/uri"),
        (lambda place: {"csv": {"uri": place}}, "/csv/uri"),
        (lambda place: {"parquet": {"uri": place}}, "/parquet/uri"),
        (lambda place: {"tar": {"uri": place}}, "/tar/uri"),
        (lambda place: {"s3_prefix": {"uri": place}}, "/s3_prefix/uri"),
        (lambda place: {"file_path_lister": {"s3_paths": ["s3://b/in/a", place]}}, "/file_path_lister/s3_paths/1"),
        (lambda place: {"delimited_files": {"s3_paths": ["s3://b/in/a", place]}}, "/delimited_files/s3_paths/1"),
    ],
)
def test_every_source_says_which_of_its_places_is_not_allowed(source: Any, pointer: str) -> None:
    fetch = FetchSettings(allowed_s3_prefixes=["s3://b/in"])
    check_source(JobSpec.model_validate(source("s3://b/in/2024-")), fetch)
    with pytest.raises(Problem, match=r"fetch\.allowed_s3_prefixes") as caught:
        check_source(JobSpec.model_validate(source("s3://b/inner")), fetch)
    assert [error.pointer for error in caught.value.document.errors or []] == [pointer]
    for nonsense in ("x", "", "s3:///x", "http://h/x"):
        with pytest.raises(Problem):
            check_source(JobSpec.model_validate(source(nonsense)), fetch)


def test_an_upload_is_a_file_and_no_list_of_objects() -> None:
    upload = "upload:1700000000-01234567-0123456789abcdef/items.jsonl"
    check_source(JobSpec.model_validate({"jsonl": {"uri": upload}}), FetchSettings())
    for refused in ({"s3_prefix": {"uri": upload}}, {"directory": {"path": upload}}, {"jsonl": {"uri": "upload:x"}}):
        with pytest.raises(Problem):
            check_source(JobSpec.model_validate(refused), FetchSettings())


def test_an_address_is_read_and_its_port_checked() -> None:
    assert listen_address("127.0.0.1:80", "gateway.listen") == Address("127.0.0.1", 80, "gateway.listen")
    assert listen_address("localhost:0", "gateway.listen").host == "127.0.0.1"
    assert listen_address("[::1]:80", "gateway.listen").url == "http://[::1]:80"
    with pytest.raises(ConfigError, match="no port"):
        listen_address("127.0.0.1:70000", "gateway.listen")


def test_json_keeps_large_numbers_and_names_the_place_of_a_fault() -> None:
    assert to_json(parse_json(b'{"n": 12345678901234567890123}')) == b'{"n":12345678901234567890123}'
    with pytest.raises(MalformedJson) as caught:
        parse_json(b'{\n "a": 1,\n}')
    assert (caught.value.line, caught.value.column) == (3, 1)
    for text in (b"", b"NaN", b"[" * 100_000, b"\xff", b"{} {}"):
        with pytest.raises(MalformedJson):
            parse_json(text)


def lines_of(*chunks: bytes, limit: int = 10) -> list[bytes]:
    async def arriving() -> AsyncIterator[bytes]:
        for chunk in chunks:
            yield chunk

    async def read() -> list[bytes]:
        return [line async for line in read_lines(arriving(), limit)]

    return asyncio.run(read())


def test_lines_are_the_same_however_they_arrive() -> None:
    assert lines_of(b"a\nbc\n\nd") == lines_of(b"a", b"\nb", b"c\n", b"\n", b"d") == [b"a", b"bc", b"", b"d"]
    assert lines_of() == []


def test_a_line_without_end_is_given_up_at_the_limit() -> None:
    assert lines_of(b"a\n", *[b"x" * 8] * 100) == [b"a", b"x" * 16]
    problem = check_line(b"x" * 16, 2, 10)
    assert problem is not None
    assert (problem.status, problem.document.model_dump()["line"]) == (413, 2)
    assert check_line(b'{"a":1}', 1, 10) is None


def test_a_payload_is_shown_as_well_as_it_can_be() -> None:
    assert readable(b'{"a":1}', "application/json; charset=utf-8") == ({"a": 1}, "json")
    assert readable(b"{broken", "application/json") == ("{broken", "text")
    assert readable(b"\xff\xd8", "image/jpeg") == ("/9g=", "base64")
    assert readable(None, "application/json") == (None, "none")


def test_hints_are_given_only_where_something_is_near() -> None:
    assert hint("runing", ["running", "stopped"]) == " Did you mean 'running'?"
    assert hint("xyz", ["running"]) == ""
    assert "add one under apis" in str(unknown_api("x", []))


ONE_ITEM = {"item_list": {"items": [1]}}


def test_more_workers_than_the_api_may_have_are_refused_and_both_numbers_are_named() -> None:
    assert read_spec({**ONE_ITEM, "workers": 4}, Settings(), API).workers == 4

    problem = problem_in({**ONE_ITEM, "workers": 5})

    assert problem.status == 422
    assert "/workers: the job wants 5 workers, and workers.max of API 'cats' is 4" in problem.document.detail
    assert [error.pointer for error in problem.document.errors or []] == ["/workers"]


@pytest.mark.parametrize("workers", [0, -1, 1.5, "many"])
def test_a_number_of_workers_is_whole_and_above_0(workers: Any) -> None:
    assert [error.pointer for error in problem_in({**ONE_ITEM, "workers": workers}).document.errors or []] == [
        "/workers"
    ]


@pytest.mark.parametrize(
    ("webhook", "pointer"),
    [
        (5, "/webhook"),
        ({}, "/webhook/url"),
        ("ftp://example.org/x", "/webhook/url"),
        ("https://me:pw@example.org/x", "/webhook/url"),
        ({"url": "https://example.org", "events": ["job.gone"]}, "/webhook/events/0"),
        ({"url": "https://example.org", "events": []}, "/webhook/events"),
        ({"url": "https://example.org", "secret": "hunter2"}, "/webhook/secret"),
        ({"url": "https://example.org", "secret": ["hunter2"]}, "/webhook/secret"),
        ({"url": "https://example.org", "key": "x"}, "/webhook/key"),
    ],
)
def test_a_webhook_that_is_none_is_refused_at_its_place_and_no_secret_is_said_back(webhook: Any, pointer: str) -> None:
    problem = problem_in({**ONE_ITEM, "webhook": webhook})

    assert [error.pointer for error in problem.document.errors or []] == [pointer]
    assert "hunter2" not in problem.body().decode()
