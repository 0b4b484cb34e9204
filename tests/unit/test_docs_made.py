"""What of the pages follows from the code is what the code says; and from the README everything is near."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from docs_made import configuration
from docs_made.generated import DOCS, ROOT, generated
from docs_made.topics import SETTINGS
from stream_infer.configuration import json_schema
from stream_infer.configuration.meanings import MEANINGS
from stream_infer.kafka.rights import Operation, Resource, Right, Role, rights
from stream_infer.kafka.topic_catalogue import api_topic_meanings, shared_topic_meanings
from stream_infer.settings import Settings
from stream_infer.topics import Topics, topic_specs
from tests.soak.faults import FAULTS

_LINK = re.compile(r"\]\((?P<place>(?!\w+:)[^)#\s]+)(?:#[^)\s]*)?\)")
_SHOWN_BY = re.compile(r"\[(?P<sentence>[^\]]+)\]\(\.\./(?P<file>tests/(?:unit|integration|acceptance)/\w+\.py)\)")


@pytest.mark.parametrize("path", generated(), ids=lambda path: path.name)
def test_what_is_committed_is_what_the_code_makes(path: Path) -> None:
    assert path.read_text() == generated()[path], "run: make generated"


def test_every_key_has_a_meaning_and_every_meaning_a_key() -> None:
    keys = {(model, name) for model in MEANINGS for name in MEANINGS[model]}
    there_are = {
        (model, name)
        for model in models_below(Settings)
        for name, field in model.model_fields.items()
        if not configuration.models_in(field.annotation)
    }

    assert len(keys) > 60
    assert keys == there_are


def models_below(model: Any) -> Iterator[Any]:
    yield model
    for field in model.model_fields.values():
        for inner in configuration.models_in(field.annotation):
            yield from models_below(inner)


def test_an_editor_is_told_what_a_key_means_without_links() -> None:
    limits = json_schema()["$defs"]["LimitSettings"]["properties"]

    assert limits["upload_bytes"]["description"] == "one file that is sent"


def test_a_key_that_stands_in_no_table_is_missed() -> None:
    page = (DOCS / "configuration.md").read_text()

    with pytest.raises(ValueError, match=r"one table with each of these: fetch\.allow_private_addresses, "):
        configuration.with_tables(page.replace("<!-- keys: fetch -->", "<!-- keys: of nothing -->"))


def test_every_topic_has_a_meaning_and_every_meaning_a_topic() -> None:
    topics = Topics(SETTINGS.kafka.topic_prefix)
    meanings = {**api_topic_meanings(topics.api("x")), **shared_topic_meanings(topics)}

    assert {spec.name for spec in topic_specs(SETTINGS)} == set(meanings)


def test_who_writes_and_reads_a_topic_is_who_has_the_right_to() -> None:
    topics = Topics("p")
    for name, meaning in {**api_topic_meanings(topics.api("x")), **shared_topic_meanings(topics)}.items():
        for operation, said in ((Operation.WRITE, meaning.written_by), (Operation.READ, meaning.read_by)):
            may = {role.value for role in ROLES if allows(rights(role, topics, ["x"]), operation, name)}

            assert set(said) - {"anyone"} == may, f"{operation} {name}"


ROLES = (Role.GATEWAY, Role.INTAKE, Role.WORKER, Role.TRACKER, Role.SINK)


def allows(held: list[Right], operation: Operation, topic: str) -> bool:
    of_topics = [right for right in held if right.resource is Resource.TOPIC and right.operation is operation]
    return any(topic.startswith(right.name) if right.is_prefix else topic == right.name for right in of_topics)


def test_every_page_is_two_clicks_from_the_readme() -> None:
    near = links_of(ROOT / "README.md")
    reached = near | {further for page in near if page.suffix == ".md" for further in links_of(page)}

    assert {*DOCS.glob("*.md"), *ROOT.glob("*.md")} - reached - {ROOT / "README.md"} == set()


def links_of(page: Path) -> set[Path]:
    return {(page.parent / found["place"]).resolve() for found in _LINK.finditer(page.read_text())}


def test_the_sites_navigation_names_every_page_once() -> None:
    text = re.sub(r"!!python\S+", "", (ROOT / "mkdocs.yml").read_text())
    named = list(leaves(yaml.safe_load(text)["nav"]))

    assert sorted(named) == sorted(
        [*(page.name for page in DOCS.glob("*.md")), "CHANGELOG.md", "CONTRIBUTING.md", "DESIGN.md", "about.md"]
    )


def leaves(nav: Any) -> Iterator[str]:
    match nav:
        case str():
            yield nav
        case dict() | list():
            for one in nav.values() if isinstance(nav, dict) else nav:
                yield from leaves(one)


def test_every_fault_of_the_soak_stands_in_the_table_of_failures() -> None:
    rows = [line.split("|")[1] for line in (DOCS / "guarantees.md").read_text().splitlines() if line.startswith("| `")]
    named = {name for row in rows for name in re.findall(r"`([^`]+)`", row)}

    assert named == {fault.name for fault in FAULTS}


def test_what_shows_a_guarantee_is_a_test() -> None:
    shown = [(found["sentence"], found["file"]) for found in _SHOWN_BY.finditer((DOCS / "guarantees.md").read_text())]
    missing = [
        sentence
        for sentence, file in shown
        if f"def test_{sentence.replace(' ', '_')}(" not in (ROOT / file).read_text()
    ]

    assert len(shown) > 10
    assert missing == []
