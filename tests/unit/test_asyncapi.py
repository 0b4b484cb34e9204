"""The AsyncAPI document: by AsyncAPI's own schema, and beside the code that it is made from."""

import json
from collections.abc import Iterator
from typing import Any, get_args

import jsonschema
import pytest
import yaml

from docs_made.generated import DOCS
from stream_infer.dead_letters import ErrorHeader
from stream_infer.gateway.asyncapi import asyncapi_document
from stream_infer.headers import Header
from stream_infer.jobs.events import Event
from stream_infer.kafka import header_catalogue
from stream_infer.local.kafka_jars import default_cache_dir
from stream_infer.settings import Settings
from stream_infer.topics import topic_specs
from tests.support.services import missing

PREDICTOR = {"type": "native", "target": "model.py:Model"}
SETTINGS = Settings.model_validate(
    {
        "kafka": {"bootstrap_servers": "one:9093,two:9093", "topic_prefix": "p", "security": {"protocol": "SSL"}},
        "apis": [
            {"name": "a", "predictor": PREDICTOR, "partitions": 5},
            {"name": "b", "predictor": PREDICTOR, "retry": {"max_attempts": 4}},
            {"name": "once", "predictor": PREDICTOR, "retry": {"max_attempts": 1}},
        ],
    }
)


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return asyncapi_document(SETTINGS)


def schema_of_asyncapi() -> dict[str, Any]:
    file = default_cache_dir() / "asyncapi" / "3.0.0.json"
    if not file.is_file():
        missing("AsyncAPI's schema is not there: `make asyncapi` fetches it")
    return dict(json.loads(file.read_text()))


@pytest.mark.parametrize("which", ["of these settings", "of the docs"])
def test_it_is_what_asyncapi_asks_for(which: str, document: dict[str, Any]) -> None:
    shown = document if which == "of these settings" else yaml.safe_load((DOCS / "asyncapi.yaml").read_text())
    checker = jsonschema.Draft7Validator(schema_of_asyncapi())

    assert [f"{error.json_path}: {error.message[:200]}" for error in checker.iter_errors(shown)] == []


def test_the_check_finds_what_is_wrong(document: dict[str, Any]) -> None:
    checker = jsonschema.Draft7Validator(schema_of_asyncapi())
    bad_binding = json.loads(json.dumps(document))
    bad_binding["channels"]["p.a.items"]["bindings"]["kafka"]["partitions"] = "five"

    assert not checker.is_valid(bad_binding)
    assert not checker.is_valid({**document, "channels": {"x": {"adress": "x"}}})


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    found = list(references(document))

    assert len(found) > 50
    for reference in found:
        here: Any = document
        for part in reference.removeprefix("#/").split("/"):
            here = here[part]


def references(part: Any) -> Iterator[str]:
    if isinstance(part, list):
        for one in part:
            yield from references(one)
    elif isinstance(part, dict):
        if isinstance(part.get("$ref"), str):
            yield part["$ref"]
        for one in part.values():
            yield from references(one)


def test_every_topic_is_a_channel_as_it_is_made(document: dict[str, Any]) -> None:
    specs = {spec.name: spec for spec in topic_specs(SETTINGS)}

    assert document["channels"].keys() == specs.keys()
    assert "p.once.retry.1" not in specs
    assert {"p.b.retry.3", "p.a.dlq", "p.status"} <= specs.keys()
    for name, channel in document["channels"].items():
        binding = channel["bindings"]["kafka"]
        assert (channel["address"], binding["partitions"]) == (name, specs[name].partitions)
        assert ",".join(binding["topicConfiguration"]["cleanup.policy"]) == specs[name].config["cleanup.policy"]
        assert channel["messages"], name
    assert document["servers"]["kafka2"] == {"host": "two:9093", "protocol": "kafka-secure"}


def test_it_says_who_writes_and_follows_what(document: dict[str, Any]) -> None:
    operations = document["operations"]

    assert operations["worker.writes.p.a.results"]["action"] == "send"
    assert operations["gateway.reads.p.b.dlq"]["action"] == "receive"
    group = operations["p.a.worker.follows.p.a.items"]["bindings"]["kafka"]["groupId"]
    assert group["const"] == "p.a.worker"


def test_every_header_has_a_meaning_and_every_event_a_message(document: dict[str, Any]) -> None:
    shown = {
        header
        for headers in (
            header_catalogue.RETRIED, header_catalogue.CONTROL, header_catalogue.RESULT, header_catalogue.DEAD_LETTER
        )
        for header in headers
    }  # fmt: skip
    assert set(header_catalogue.MEANINGS) == shown == {*Header, *ErrorHeader}
    events = {event.model_fields["type"].default for event in get_args(Event)}
    assert document["channels"]["p.progress"]["messages"].keys() == events
