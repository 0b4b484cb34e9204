"""What a command has found, for programs: one JSON text, one YAML document, or one of either a line."""

from __future__ import annotations

import json
import sys
from typing import Any

from pydantic import BaseModel

from stream_infer.cli.context import Output


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

    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=10_000)
