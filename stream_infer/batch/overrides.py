"""`key.sub=value` on the command line: the predictor's config, or how its API is run. Pure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import yaml

from stream_infer.errors import UsageError

# Sections of an API that may be meant; `config.` says the predictor's config where its key is called like one of them.
_SECTIONS = frozenset({"batching", "breaker", "retry", "workers"})
_CONFIG = "config"
_WORDS = {"true": True, "false": False, "none": None, "null": None}


def overrides_of(pairs: Sequence[str]) -> dict[str, Any]:
    """Keys below an API's own, such as `predictor.config.model.threshold` and `batching.max_batch_size`.

    Raises UsageError for what is no KEY=VALUE.
    """
    found: dict[str, Any] = {}
    for pair in pairs:
        key, sign, value = pair.partition("=")
        parts = key.split(".")
        if not sign or not all(parts):
            raise UsageError(f"{pair!r} is not KEY=VALUE or KEY.SUB=VALUE, such as threshold=0.5")
        if parts[0] in _SECTIONS and len(parts) > 1:
            place = key
        else:
            place = f"predictor.config.{key.removeprefix(f'{_CONFIG}.')}"
        if place in found:
            raise UsageError(f"{key} is given twice")
        found[place] = value_of(value)
    return found


def value_of(text: str) -> Any:
    """JSON as its value, True, False and None as Python writes them, [a, b] and {a: b} as YAML; other text as it is."""
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    try:
        return json.loads(text)
    except ValueError:
        pass
    if text.startswith(("[", "{")):
        try:
            return yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise UsageError(f"{text!r} is neither a list nor a mapping: {error}") from None
    return text
