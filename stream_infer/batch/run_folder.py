"""What stands beside the results: the configuration that they were made with, and the log.

results.jsonl           a line a file
results.errors.jsonl    a line for each file that failed
results.run/            config.yaml, log.jsonl, and the errors that --retry-failed has taken up again
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from stream_infer.errors import UsageError

CONFIG = "config.yaml"
LOG = "log.jsonl"
RETRIED = "errors-before.jsonl"
_PACKED = frozenset({".gz", ".parquet", ".zip", ".csv"})


@dataclass(frozen=True, slots=True)
class Places:
    """Where one batch writes to. All absolute."""

    results: Path
    errors: Path
    folder: Path

    @classmethod
    def beside(cls, output: Path) -> Places:
        """Raises UsageError for an output that cannot be one."""
        results = output.expanduser().absolute()
        if results.is_dir():
            raise UsageError(f"--output {output} is a directory: name a file, such as {output / 'results.jsonl'}")
        if results.suffix in _PACKED:
            raise UsageError(f"--output {output}: results are lines of JSON; name it {results.stem}.jsonl")
        stem = results.with_name(results.name.removesuffix(".jsonl"))
        return cls(results, stem.with_name(f"{stem.name}.errors.jsonl"), stem.with_name(f"{stem.name}.run"))

    @property
    def config(self) -> Path:
        return self.folder / CONFIG

    @property
    def log(self) -> Path:
        return self.folder / LOG

    @property
    def retried(self) -> Path:
        return self.folder / RETRIED


def read_config(path: Path) -> dict[str, Any]:
    """What an earlier run has written; empty where there was none. Raises UsageError."""
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise UsageError(f"{path} cannot be read: {error}; remove it, or give another --output") from error
    return values if isinstance(values, dict) else {}


def write_config(path: Path, values: Mapping[str, Any]) -> None:
    """Whole or not at all. Only its owner may read it: a predictor's config may hold a password."""
    new = path.with_suffix(".new")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        yaml.safe_dump(dict(values), file, sort_keys=False, allow_unicode=True)
    new.replace(path)


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What of a predictor's description is not what it was, a phrase each. Pure."""
    old, new = dict(_flat(before)), dict(_flat(now))
    return [
        f"{key} was {old.get(key, 'not set')!r} and is {new.get(key, 'not set')!r}"
        for key in sorted(old.keys() | new.keys())
        if old.get(key) != new.get(key)
    ]


def _flat(values: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value
