"""Secrets taken out of logs and of reasons: by the name of a field, and by how they look inside a text."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

HIDDEN = "***"

_SECRET_NAME = re.compile(
    r"passw(or)?d|passphrase|secret|api[-_.]?keys?$|access[-_.]?key|private[-_.]?key|authorization|credential|jaas"
    r"|(^|[-_.]|access|refresh|auth|session)token$|(^|[-_.])(idtoken|cookies?|pwd)$",
    re.IGNORECASE,
)


class Presentable(str):
    """Holds no secret, though it may look so, as "kafka.security.password: is missing" does: shown as it is."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Rule:
    """`hints`: without one of them (casefolded) there is nothing to find. Measured: all patterns take 12 ms for a stack
    of 16 KiB, and to look for the hints takes 0.1 ms."""

    hints: tuple[str, ...]
    pattern: re.Pattern[str]
    replacement: str


_KEYS = tuple(f"{of}{joint}key" for of in ("api", "access", "private") for joint in ("", "-", "_"))
# Between a name and its value, as in JSON, in JSON within JSON, in YAML, in Python. Nothing of it is given back: what
# is hidden already would be found again.
_QUOTE = r"(?>(?:\\{0,3}[\"'])?)"
_IS = rf"{_QUOTE}\s*[=:]\s*(?>(?:b(?=[\"']))?){_QUOTE}(?!\*\*\*)"
# To the end of what is quoted, or of the word.
_VALUE = (
    r"(?:(?<=\\[\"'])[^\"'\\\r\n]{1,20000}|(?<=\")(?:\\.|[^\"\\\r\n]){1,20000}"
    r"|(?<=')(?:\\.|[^'\\\r\n]){1,20000}|[^\s\"',;&}]+)"
)
# Words of prose, too: "unexpected token: x", "NoCredentialsError: …". So only as `name=` or as a name in quotes.
_PROSAIC = r"(?<![^\W_])(?:token|credentials?)(?=\\{0,3}[\"']|\s*=)"
# Repetitions that may begin anywhere are bounded: a predictor prints what it likes, and measured, an unbounded one took
# 170 ms, without letting the GIL go, for a line of 8 KiB such as "a.a.a.a.…".
RULES = (
    # user:password@ of a URL, also where the password has an @ of its own
    Rule(("://",), re.compile(r"://[^/\s\"'<>]{1,1000}@"), f"://{HIDDEN}@"),
    # what makes a presigned URL valid, or a request of AWS's
    Rule(
        ("signature=", "credential=", "token=", "awsaccesskeyid=", "googleaccessid=", "sig="),
        re.compile(
            r"\b((?:X-(?:Amz|Goog)-)?(?:Signature|Credential|Security-Token)|AWSAccessKeyId|GoogleAccessId|sig)"
            r"=[^&\s,'\"]+",
            re.IGNORECASE,
        ),
        rf"\1={HIDDEN}",
    ),
    # an access key's id, which names its secret
    Rule(("akia", "asia"), re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"), HIDDEN),
    Rule(
        ("-----begin",),
        re.compile(r"(-----BEGIN [A-Z ]{0,20}PRIVATE KEY-----)(?!\*\*\*)(?:(?!-----END).){1,20000}", re.DOTALL),
        rf"\1{HIDDEN}",
    ),
    # Authorization: …, to the end of what is quoted, or of the line: a scheme, and what follows it
    Rule(
        ("authorization", "cookie"),
        re.compile(rf"((?:authorization|cookies?){_IS})[^\s\"'\\,;&}}][^\r\n\"'\\]{{0,20000}}", re.IGNORECASE),
        rf"\1{HIDDEN}",
    ),
    Rule(
        ("bearer ", "basic "),
        re.compile(r"\b(Bearer|Basic) +[\w.~+/-]{16,}=*", re.IGNORECASE),
        rf"\1 {HIDDEN}",
    ),
    # password=…, "secret": "…", sasl.password: …, session_token=…, ?token=…
    Rule(
        ("passw", "passphrase", "secret", "token", "credential", "pwd", *_KEYS),
        re.compile(
            r"((?:(?:passw(?:or)?d|passphrase|secret|(?:api|access|private)[-_]?key)[\w.-]{0,60}"
            rf"|(?:[-_?&]|access|refresh|auth|session|(?<![^\W_])id)token|(?<![^\W_])pwd|{_PROSAIC})"
            rf"{_IS}){_VALUE}",
            re.IGNORECASE,
        ),
        rf"\1{HIDDEN}",
    ),
    # a JSON Web Token, whoever it is for; tokens of Hugging Face and of GitHub
    Rule(("eyj",), re.compile(r"(?<![\w-])eyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]*"), HIDDEN),
    Rule(("hf_", "gho_", "ghp_", "ghs_", "ghu_"), re.compile(r"(?<![^\W_])(?:hf_|gh[opsu]_)[0-9A-Za-z]{30,}"), HIDDEN),
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
    """`value` as it may be logged under `name`. Numbers are no secrets; of what is neither number, text nor a holder of
    such, that is shown which `str` makes of it."""
    if value is None or isinstance(value, bool | int | float | Presentable):
        return value
    if isinstance(value, Sequence | AbstractSet) and not isinstance(value, str | bytes | bytearray):
        return [redact(name, inner) for inner in value]
    if _SECRET_NAME.search(name):
        return HIDDEN
    if isinstance(value, Mapping):
        return {redact_text(str(key)): redact(str(key), inner) for key, inner in value.items()}
    if isinstance(value, bytes | bytearray):
        return redact_text(bytes(value).decode(errors="replace"))
    return redact_text(str(value))
