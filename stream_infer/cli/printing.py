"""What a command has found, for programs: one JSON text, one YAML document, or one of either a line.

Always UTF-8, whatever the terminal's own encoding is.
"""

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
# And what YAML 1.1 reads as a boolean, but not PyYAML.
_YES_OR_NO = re.compile(r"(?:y|Y|n|N)$")


def put(value: BaseModel | dict[str, Any] | list[Any], output: Output) -> None:
    """All of it, indented, to stdout."""
    plain = _plain(value)
    _write(_yaml(plain) if output is Output.YAML else json.dumps(plain, indent=2, ensure_ascii=False) + "\n")


def put_one(value: BaseModel | dict[str, Any], output: Output) -> None:
    """One of many, as it comes: a line of JSON, or a document of a stream of YAML."""
    plain = _plain(value)
    _write(f"---\n{_yaml(plain)}" if output is Output.YAML else json.dumps(plain, ensure_ascii=False) + "\n")


def _write(text: str) -> None:
    """Half of a surrogate pair, which an item may have and UTF-8 has not, is escaped as JSON has it; PyYAML does so
    itself. Flushed: a reader that has gone is noticed here, not by the interpreter at its end."""
    sys.stdout.flush()
    sys.stdout.buffer.write(text.encode("utf-8", "backslashreplace"))
    sys.stdout.buffer.flush()


def _plain(value: Any) -> Any:
    return value.model_dump(mode="json") if isinstance(value, BaseModel) else value


def _yaml(value: Any) -> str:
    import yaml

    return str(yaml.dump(value, Dumper=_dumper(), sort_keys=False, allow_unicode=True, width=10_000))


@cache
def _dumper() -> Any:
    """Which puts quotes around text that any reader could take for something else, and writes out what comes twice."""
    import yaml

    class Dumper(yaml.SafeDumper):
        def ignore_aliases(self, _data: Any) -> bool:
            return True

    Dumper.add_implicit_resolver("tag:yaml.org,2002:float", _NUMBER, list("-+.0123456789"))
    Dumper.add_implicit_resolver("tag:yaml.org,2002:bool", _YES_OR_NO, list("yYnN"))
    return Dumper
