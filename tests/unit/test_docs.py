"""What the pages say has to be so: every key with its default, every link, every command and option."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml

from docs_made.configuration import keys_of
from stream_infer.cli.app import app
from stream_infer.configuration import cortex_keys, load_settings
from stream_infer.gateway.openapi import openapi_document
from stream_infer.kafka.rights import Role, rights, rows
from stream_infer.settings import Settings
from stream_infer.topics import Topics

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]
_ROW = re.compile(r"^\| `(?P<key>[^`]+)` \| (?P<default>[^|]+) \|", re.MULTILINE)
_FENCE = re.compile(r"^```(?P<kind>\w*)\n(?P<text>.*?)^```", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\((?P<target>[^)\s]+)\)")
_COMMAND = re.compile(r"(?:`|^[ \t]+(?:[A-Z_]+=\S+ )*)(?P<line>stream-infer [^`\n]+)", re.MULTILINE)
# An argument that a command line of the pages may be cut at: what follows is not the command's own.
_ENDS = frozenset({"#", "|", "&", ">", "&&", "…"})


def commands(text: str) -> list[str]:
    return [match["line"] for match in _COMMAND.finditer(text)]


def unknown_part(line: str) -> str | None:
    """The first word of a command line that the program does not know."""
    found: Any = typer.main.get_command(app)
    words = iter(shlex.split(line, comments=True)[1:])
    for word in words:
        if word in _ENDS:
            return None
        if word.startswith("-"):
            name = word.partition("=")[0]
            option = next((one for one in found.params if name in one.opts), None)
            if option is None and name not in ("-h", "--help"):
                return word
            if option is not None and not getattr(option, "is_flag", False):
                next(words, None)
        elif hasattr(found, "commands"):  # a group
            inner = found.commands.get(word)
            if inner is None:
                return None if is_placeholder(word) else word
            found = inner
    return None


def is_placeholder(word: str) -> bool:
    return word == "…" or word.isupper()


def anchors(page: Path) -> set[str]:
    """Of its headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_settings_key_stands_on_the_configuration_page_with_its_default():
    page = (ROOT / "docs/configuration.md").read_text()
    written = {(row["key"], row["default"].strip()) for row in _ROW.finditer(page)}

    expected = {(key.path, key.default) for key in keys_of(Settings)}

    assert len(expected) > 40
    assert expected - written == set(), "missing, or with another default"
    assert {key for key, _ in written} - {key for key, _ in expected} == set(), "no such key"


@pytest.mark.parametrize("name", NAMES)
def test_no_relative_link_is_dead(name):
    page = ROOT / name
    dead = []
    for match in _LINK.finditer(page.read_text()):
        place, _, anchor = match["target"].partition("#")
        if "://" in place:
            continue
        target = (page.parent / place).resolve() if place else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            dead.append(match["target"])

    assert dead == []


@pytest.mark.parametrize("name", NAMES)
def test_every_command_and_option_that_is_shown_exists(name):
    lines = commands((ROOT / name).read_text())

    assert [(line, part) for line in lines if (part := unknown_part(line)) is not None] == []


@pytest.mark.parametrize(
    ("line", "part"),
    [
        ("stream-infer submitt shouter", "submitt"),
        ("stream-infer submit shouter --wiat", "--wiat"),
        ("stream-infer -f a.yaml dlq lst shouter", "lst"),
        ("stream-infer -f a.yaml dlq ls shouter --limit 5  # the newest", None),
        ('stream-infer submit shouter \'{"text": "a"}\' --config mark=? --wait', None),
    ],
)
def test_a_wrong_command_is_noticed(line, part):
    assert unknown_part(line) == part


@pytest.mark.parametrize("name", NAMES)
def test_every_configuration_shown_whole_is_one(name, tmp_path):
    file = tmp_path / "stream-infer.yaml"
    for fence in _FENCE.finditer((ROOT / name).read_text()):
        if fence["kind"] == "yaml" and re.search(r"^apis:", fence["text"], re.MULTILINE):
            file.write_text(fence["text"])

            assert load_settings(file, {}).apis, fence["text"]
            assert set(yaml.safe_load(fence["text"])) <= set(Settings.model_fields)


@pytest.mark.parametrize(
    ("end", "tables"),
    [
        ("ignored", [cortex_keys.IGNORED_OF_API, cortex_keys.IGNORED_OF_PREDICTOR]),
        ("refused", [cortex_keys.REFUSED_OF_API, cortex_keys.REFUSED_OF_PREDICTOR, cortex_keys.REFUSED_KINDS]),
    ],
)
def test_what_becomes_of_each_key_of_cortex_stands_on_its_page(end, tables):
    page = (ROOT / "docs/coming-from-cortex.md").read_text()
    rows = [row.group(1) for row in re.finditer(rf"^\| ([^|]+) \| {end} \|", page, re.MULTILINE)]
    named = {name.removeprefix("….") for row in rows for name in re.findall(r"`(?:kind: )?([^`]+)`", row)}

    assert {key for table in tables for key in table} <= named


def test_the_http_page_names_every_path_and_no_other():
    page = (ROOT / "docs/http.md").read_text()
    named = set(re.findall(r"^\| `(?:GET|POST|DELETE) ([^`?]+)", page, re.MULTILINE))

    assert named == set(openapi_document()["paths"])


def test_the_least_rights_of_each_role_stand_on_the_page_on_security():
    page = (ROOT / "docs/security.md").read_text()
    written = re.findall(r"^\| `(\w+)` \| ([\w-]+) \| `([^`]+)` \| ([^|]+) \|$", page, re.MULTILINE)
    expected = [
        (role.value, row.resource.value, row.name, ", ".join(row.operations))
        for role in Role
        for row in rows(rights(role, Topics("{p}"), ["{api}"]))
    ]

    assert written == expected, "\n".join("| `{}` | {} | `{}` | {} |".format(*row) for row in expected)
