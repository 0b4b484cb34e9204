"""How often a caller may ask: a bucket that fills with time, and is emptied by requests. Pure."""

from __future__ import annotations

from typing import NamedTuple


class Rate(NamedTuple):
    """`per_second` requests on average; `burst` of them at once where nothing was asked for a while, at least 1."""

    per_second: float
    burst: float


class Bucket(NamedTuple):
    """`tokens` were in it at `at`, in seconds of any clock that does not go back."""

    tokens: float
    at: float


class Taken(NamedTuple):
    """The bucket from now on; `wait_s` 0: the request may go, else how long until one may."""

    bucket: Bucket
    wait_s: float


def take(bucket: Bucket | None, rate: Rate, now: float) -> Taken:
    """One request's token, if there is one; None is a bucket that nobody has used. A refusal costs nothing."""
    tokens = rate.burst
    if bucket is not None:
        tokens = min(rate.burst, bucket.tokens + max(0.0, now - bucket.at) * rate.per_second)
    if tokens >= 1.0:
        return Taken(Bucket(tokens - 1.0, now), 0.0)
    return Taken(Bucket(tokens, now), (1.0 - tokens) / rate.per_second)
