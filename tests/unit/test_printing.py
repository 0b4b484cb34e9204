"""One value, printed for programs: the same in JSON and in YAML."""

import json

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
