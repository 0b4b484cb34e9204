"""One value, printed for programs: the same in JSON and in YAML."""

import io
import json
import os
import sys

import pytest
import yaml
from pydantic import BaseModel

from stream_infer.cli.context import Output
from stream_infer.cli.printing import put, put_one

VALUE = {"name": "größer", "none": None, "list": [1, {"text": "two\nlines: yes"}], "at": "2026-11-23", "no": "no"}


class Body(BaseModel):
    name: str
    tags: frozenset[str]


@pytest.mark.parametrize(("output", "read"), [(Output.JSON, json.loads), (Output.YAML, yaml.safe_load)])
def test_what_is_printed_reads_as_what_it_was(capsys, output, read):
    put(VALUE, output)

    said = capsys.readouterr().out
    assert read(said) == VALUE
    assert "größer" in said


@pytest.mark.parametrize("text", ["12345678901234567890e123", "1e5", "0o17", "0x1f", "12", ".5", "-1.e+3", "08", "1.5"])
def test_text_that_any_reader_could_take_for_a_number_has_quotes(capsys, text):
    """YAML 1.2, which yq and others read, knows more of them than PyYAML."""
    put({"job_id": text}, Output.YAML)

    assert capsys.readouterr().out == f"job_id: '{text}'\n"


@pytest.mark.parametrize("value", [12, -1, 0.5, 1e20, 5e-05, 123456789012345678901234])
def test_numbers_have_none(capsys, value):
    put({"value": value}, Output.YAML)

    said = capsys.readouterr().out
    assert "'" not in said
    assert yaml.safe_load(said) == {"value": value}


@pytest.mark.parametrize("output", [Output.JSON, Output.YAML])
def test_a_body_is_printed_as_the_gateway_sends_it(capsys, output):
    put(Body(name="a", tags=frozenset({"x"})), output)

    assert yaml.safe_load(capsys.readouterr().out) == {"name": "a", "tags": ["x"]}


def test_many_are_a_line_of_json_or_a_document_of_yaml_each(capsys):
    for output in (Output.JSON, Output.YAML):
        put_one(VALUE, output)
        put_one({"n": 2}, output)
        said = capsys.readouterr().out
        read = (
            [json.loads(line) for line in said.splitlines()] if output is Output.JSON else [*yaml.safe_load_all(said)]
        )
        assert read == [VALUE, {"n": 2}]


@pytest.mark.parametrize("text", ["y", "n", "Y", "N", "yes", "off", "null", "~"])
def test_text_that_any_reader_could_take_for_yes_or_no_or_nothing_has_quotes(capsys, text):
    put([text], Output.YAML)

    assert capsys.readouterr().out == f"- '{text}'\n"


def test_what_comes_twice_is_written_twice(capsys):
    same = {"a": [1]}

    put([same, same], Output.YAML)

    assert capsys.readouterr().out == "- a:\n  - 1\n- a:\n  - 1\n"


@pytest.mark.parametrize(("output", "read"), [(Output.JSON, json.loads), (Output.YAML, yaml.safe_load)])
def test_half_of_a_surrogate_pair_is_escaped(capsysbinary, output, read):
    put({"text": "half \ud83d"}, output)

    assert read(capsysbinary.readouterr().out.decode("utf-8")) == {"text": "half \ud83d"}


def test_a_terminal_of_another_encoding_gets_utf_8(capsysbinary, monkeypatch):
    latin = io.TextIOWrapper(sys.stdout.buffer, encoding="latin-1")
    monkeypatch.setattr(sys, "stdout", latin)

    put_one({"name": "größer ≥"}, Output.JSON)

    latin.detach()
    assert json.loads(capsysbinary.readouterr().out.decode("utf-8")) == {"name": "größer ≥"}


@pytest.mark.parametrize("many", [1, 20_000])
def test_a_reader_that_has_gone_is_noticed_at_once(monkeypatch, many):
    """Past bug: a short answer waited in the buffer, and the interpreter complained of it at its end."""
    readable, writable = os.pipe()
    os.close(readable)
    with open(writable, "w", closefd=False) as gone, open(os.devnull, "wb") as nowhere:  # noqa: PTH123
        monkeypatch.setattr(sys, "stdout", gone)
        with pytest.raises(BrokenPipeError):
            put({"list": ["x"] * many}, Output.JSON)
        os.dup2(nowhere.fileno(), writable)  # for what is left in the buffer
    os.close(writable)
