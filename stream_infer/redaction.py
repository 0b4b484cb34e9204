"""Secrets taken out of logs and of reasons: by the name of a field, and by how they look inside a text."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

HIDDEN = "***"

_SECRET_NAME = re.compile(
    r"passw(or)?d|secret|api[-_.]?key$|access[-_.]?key|private[-_.]?key|authorization|credential|(^|[-_.])token$",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Rule:
    """`hints`: without one of them (casefolded) there is nothing to find. Measured: all patterns take 12 ms for a stack
    of 16 KiB, and to look for the hints takes 0.1 ms."""

    hints: tuple[str, ...]
    pattern: re.Pattern[str]
    replacement: str


_KEYS = tuple(f"{of}{joint}key" for of in ("api", "access") for joint in ("", "-", "_"))
# Repetitions that may begin anywhere are bounded: a predictor prints what it likes, and measured, an unbounded one took
# 170 ms, without letting the GIL go, for a line of 8 KiB such as "a.a.a.a.…".
RULES = (
    # user:password@ of a URL
    Rule(("://",), re.compile(r"://[^/\s@]+@"), f"://{HIDDEN}@"),
    # what makes a presigned URL valid
    Rule(
        ("signature=", "credential=", "token=", "awsaccesskeyid=", "sig="),
        re.compile(
            r"\b(X-Amz-(?:Signature|Credential|Security-Token)|AWSAccessKeyId|Signature|sig)=[^&\s'\"]+", re.IGNORECASE
        ),
        rf"\1={HIDDEN}",
    ),
    Rule(
        ("bearer ", "basic "),
        re.compile(r"\b(Bearer|Basic) +[\w.~+/-]{16,}=*", re.IGNORECASE),
        rf"\1 {HIDDEN}",
    ),
    # password=…, "secret": "…", sasl.password: …
    Rule(
        ("password", "passwd", "secret", "authorization", *_KEYS),
        re.compile(
            r"((?:passw(?:or)?d|secret|api[-_]?key|access[-_]?key|authorization)[\w.-]{0,60}[\"']?\s*[=:]\s*[\"']?)"
            r"(?!\*\*\*)[^\s\"',;&}]+",
            re.IGNORECASE,
        ),
        rf"\1{HIDDEN}",
    ),
    Rule(("whsec_",), re.compile(r"\bwhsec_[\w+/=-]+"), HIDDEN),
    # an API key of ours, whose id may be told
    Rule(("si_",), re.compile(r"\b(si_[0-9a-z]{1,32}_)[\w-]{20,}"), rf"\1{HIDDEN}"),
)


def redact_text(text: str) -> str:
    """`text` with everything that looks like a secret replaced."""
    plain = text.casefold()
    for rule in RULES:
        if any(hint in plain for hint in rule.hints):
            text = rule.pattern.sub(rule.replacement, text)
    return text


def redact(name: str, value: Any) -> Any:
    """`value` as it may be logged under `name`. Numbers are no secrets."""
    if isinstance(value, str | bytes) and _SECRET_NAME.search(name):
        return HIDDEN
    if isinstance(value, str):
        return redact_text(value)
    if isinstance(value, Mapping):
        return {key: redact(str(key), inner) for key, inner in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray):
        return [redact(name, inner) for inner in value]
    return value
