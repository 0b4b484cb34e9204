"""What a command has found, for programs: one JSON text, one YAML document, or one of either a line."""

from __future__ import annotations

import json
import re
import sys
from functools import cache
from typing import Any

from pydantic import BaseModel

from stream_infer.cli.context import Output

# What YAML 1.2 reads as a number and 1.1, which PyYAML writes, as text: a job's id may be 1234…e567.
_NUMBER = re.compile(r"(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|0o[0-7]+|0x[0-9a-fA-F]+)$")


def put(value: BaseModel | dict[str, Any] | list[Any], output: Output) -> None:
    """All of it, indented, to stdout."""
    plain = _plain(value)
    sys.stdout.write(_yaml(plain) if output is Output.YAML else json.dumps(plain, indent=2, ensure_ascii=False) + "\n")


def put_one(value: BaseModel | dict[str, Any], output: Output) -> None:
    """One of many, as it comes: a line of JSON, or a document of a stream of YAML."""
    plain = _plain(value)
    sys.stdout.write(f"---\n{_yaml(plain)}" if output is Output.YAML else json.dumps(plain, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def _plain(value: Any) -> Any:
    return value.model_dump(mode="json") if isinstance(value, BaseModel) else value


def _yaml(value: Any) -> str:
    import yaml

    return str(yaml.dump(value, Dumper=_dumper(), sort_keys=False, allow_unicode=True, width=10_000))


@cache
def _dumper() -> Any:
    """Which puts quotes around text that any reader could take for a number."""
    import yaml

    class Dumper(yaml.SafeDumper):
        pass

    Dumper.add_implicit_resolver("tag:yaml.org,2002:float", _NUMBER, list("-+.0123456789"))
    return Dumper
