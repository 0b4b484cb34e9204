"""AWS's Signature Version 4: what a request says of its own, where and when that may hold. Pure.

A signature holds for one request as it was sent (method, path, query, the headers that it names, the body), for 15
minutes around its date, and for the region and the service that it names.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from multidict import CIMultiDict, CIMultiDictProxy

from stream_infer.http.problems import Problem, ProblemKind

MOST_SKEW_S = 900
_SCHEME = "AWS4-HMAC-SHA256"
_DATE = "X-Amz-Date"
_TIME = "%Y%m%dT%H%M%SZ"
_SAID = re.compile(
    rf"{_SCHEME}\s+Credential=(?P<access_key>\w{{1,128}})/(?P<day>\d{{8}})/(?P<region>[\w-]{{1,64}})"
    r"/(?P<service>[\w-]{1,64})/aws4_request\s*,\s*SignedHeaders=(?P<headers>[\w;-]{1,2000})"
    r"\s*,\s*Signature=(?P<digest>[0-9a-f]{64})",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class Signature:
    """`time` as the request has it, `at` in seconds since the epoch; `headers`: the names of what is signed."""

    access_key: str
    time: str
    at: float
    region: str
    service: str
    headers: Sequence[str]
    digest: str


def is_signed(authorization: str) -> bool:
    """Whether the header is that of a signed request, of this version or another one."""
    return authorization.lstrip().startswith("AWS4-")


def read_signature(headers: CIMultiDict[str] | CIMultiDictProxy[str]) -> Signature:
    """Raises a Problem where it is none that can be checked, or leaves out what a request has to sign."""
    said = _SAID.fullmatch(headers.get("Authorization", "").strip())
    if said is None:
        detail = f"Authorization is not '{_SCHEME} Credential=…/DATE/REGION/SERVICE/aws4_request, SignedHeaders=…, "
        raise _incomplete(f"{detail}Signature=…'")
    time = headers.get(_DATE, "")
    try:
        at = datetime.strptime(time, _TIME).replace(tzinfo=UTC).timestamp()
    except ValueError:
        raise _incomplete(f"{_DATE} is {time[:40]!r}, and has to be such as 20260131T235959Z") from None
    if not time.startswith(said["day"]):
        raise wrong_signature(f"Credential is of the day {said['day']}, and {_DATE} is {time}")
    signed = said["headers"].split(";")
    needed = ["host", *sorted({name.lower() for name in headers if name.lower().startswith("x-amz-")})]
    if left_out := [name for name in needed if name not in signed]:
        raise wrong_signature(f"SignedHeaders leaves out {', '.join(left_out)[:200]}")
    return Signature(said["access_key"], time, at, said["region"], said["service"], signed, said["digest"])


def require_place_and_time(signature: Signature, service: str, now: float) -> None:
    """Raises a Problem where it is of another service, or not of `now`, in seconds since the epoch."""
    if signature.service != service:
        raise wrong_signature(f"Credential is scoped to the service {signature.service!r}; {service!r} is served here")
    apart_s = now - signature.at
    if abs(apart_s) > MOST_SKEW_S:
        word = "expired" if apart_s > 0 else "not yet current"
        here = datetime.fromtimestamp(now, UTC).strftime(_TIME)
        raise wrong_signature(
            f"Signature {word}: {signature.time} is more than {MOST_SKEW_S // 60} min. from {here}, which it is here: "
            "set the clock of one of both"
        )


def _incomplete(detail: str) -> Problem:
    return Problem(ProblemKind.INCOMPLETE_SIGNATURE, f"{detail}.")


def wrong_signature(detail: str) -> Problem:
    return Problem(ProblemKind.WRONG_SIGNATURE, f"{detail}.")
