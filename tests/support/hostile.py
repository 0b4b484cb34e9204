"""Bytes that mean ill, for whoever reads them: anything, valid records with a part exchanged, texts beyond measure."""

import json

from hypothesis import settings
from hypothesis import strategies as st

FUZZ = settings(max_examples=40, deadline=None)

# Texts that stand where a value belongs, some of them no JSON at all.
FRAGMENTS = [
    *(b"null", b"true", b"{}", b"[]", b'""', b"0", b"-1", b"1.5", b"-0.0", b"NaN", b"-Infinity", b"1e400", b"1e308"),
    *(b"253402300800", b"9007199254740993", b"9223372036854775808", b"-9223372036854775809", b"18446744073709551616"),
    *(b"9" * 400, b"-" + b"9" * 4300, b"9" * 5000, b'"' + b"9" * 5000 + b'"', b'"-1"', b'"1e400"'),
    *(b'"\\ud800"', b'"\\u0000"', b'"\xff"', b'"\x00"', b'"../../x"', b'"a/b"', b'"."', b'"x\\n"'),
    b'"' + b"x" * 9999 + b'"',
    *(b"[" * 100_000, b"[" * 150 + b"]" * 150, b'{"a":' * 150 + b"1" + b"}" * 150, b"[" * 900 + b"]" * 900),
    *(b'{"succeeded":1e9}', b'{"sunk":9007199254740992}', b'{"validating":null}', b'{"validating":NaN}'),
    *(b'["x"]', b'[["\\ud800","x"]]', b'[["name",5]]', b'"YQ=="', b'"!"'),
]  # fmt: skip
MARK = "@@@"


@st.composite
def mutated(draw: st.DrawFn, *samples: bytes) -> bytes:
    """A valid record with a value, or some bytes, exchanged."""
    text = draw(st.sampled_from(samples))
    how = draw(st.sampled_from(["value", "value", "value", "twice", "more", "flip", "cut", "join"]))
    if how in ("value", "twice", "more"):
        whole = json.loads(text)
        inside = whole
        while isinstance(inside, dict) and inside:
            key = draw(st.sampled_from(sorted(inside)))
            if not isinstance(inside[key], dict) or not inside[key] or draw(st.booleans()):
                break
            inside = inside[key]
        fragment = draw(st.sampled_from(FRAGMENTS))
        if isinstance(inside, dict):
            inside[draw(st.text(max_size=5)) if how == "more" or not inside else key] = MARK
        made = json.dumps(whole).encode().replace(f'"{MARK}"'.encode(), fragment)
        return made[:-1] + b"," + made[1:] if how == "twice" else made
    at = draw(st.integers(0, len(text)))
    if how == "cut":
        return text[:at]
    noise = draw(st.binary(min_size=1, max_size=8))
    return text[:at] + noise + text[at + (len(noise) if how == "flip" else 0) :]


def hostile(*samples: bytes) -> st.SearchStrategy[bytes]:
    return st.one_of(st.binary(max_size=60), mutated(*samples), st.sampled_from(FRAGMENTS))
