"""What is wrong with a file of requests, line by line, while it is sent. Pure.

A line is `{"custom_id", "method": "POST", "url", "body"}`. The body's `model` names the API, unless the url does:
/v1/apis/{api}/predict is a path of our own, and what is posted there may be any JSON.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from pydantic import BaseModel, ConfigDict

from stream_infer.http.json_text import MalformedJson, parse_json

ENDPOINTS: Final = (
    "/v1/chat/completions",
    "/v1/completions",
    "/v1/embeddings",
    "/v1/moderations",
    "/v1/responses",
)
MOST_REQUESTS: Final = 50_000
_ERRORS_KEPT: Final = 50
_LONGEST_ID: Final = 512
_LONGEST_SHOWN: Final = 100
_BOM = b"\xef\xbb\xbf"
_OWN = re.compile(r"/v1/apis/([a-z0-9-]{1,63})/predict", re.ASCII)


class LineError(BaseModel):
    """One thing wrong with the line of that number, from 1; None: with the file. In OpenAI's words."""

    model_config = ConfigDict(frozen=True)

    code: str
    message: str
    line: int | None = None
    param: str | None = None


class Findings(BaseModel):
    """What stands in a file of requests. `url`, `api`: those of its first good line, which has the number `first`;
    every other line has the same, or is an error. `errors`: the first of them, and how many there are beyond."""

    model_config = ConfigDict(frozen=True)

    requests: int = 0
    first: int | None = None
    url: str | None = None
    api: str | None = None
    errors: tuple[LineError, ...] = ()


class _Wrong(Exception):
    def __init__(self, code: str, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.param = param


def is_endpoint(url: str) -> bool:
    """Whether a batch may be for it."""
    return url in ENDPOINTS or _OWN.fullmatch(url) is not None


class LineChecker:
    """Takes a file in pieces of any size; holds what is left of a line, and the custom ids."""

    def __init__(self, max_line_bytes: int) -> None:
        self._max_line_bytes = max_line_bytes
        self._held = b""
        self._is_too_long = False
        self._number = 0
        self._requests = 0
        self._first: tuple[int, str, str] | None = None
        self._seen: dict[str, int] = {}
        self._errors: list[LineError] = []
        self._more = 0

    def take(self, data: bytes) -> None:
        *lines, rest = data.split(b"\n")
        for line in lines:
            self._end_line(line)
        self._hold(rest)

    def findings(self) -> Findings:
        """Behind the last piece."""
        if self._held or self._is_too_long:
            self._end_line(b"")
        if not self._requests:
            self._say(None, _Wrong("empty_file", "The file has no requests: it needs one line of JSON each."))
        if self._requests > MOST_REQUESTS:
            said = f"The file has {self._requests} requests; a batch has {MOST_REQUESTS} at most. Send several files."
            self._errors.insert(0, LineError(code="too_many_requests", message=said))
        errors = tuple(self._errors)
        if self._more:
            errors += (LineError(code="more_errors", message=f"{self._more} more lines are wrong."),)
        first, url, api = self._first or (None, None, None)
        return Findings(requests=self._requests, first=first, url=url, api=api, errors=errors)

    def _hold(self, data: bytes) -> None:
        self._held += data
        if len(self._held) > self._max_line_bytes + 2:
            self._held, self._is_too_long = b"", True

    def _end_line(self, data: bytes) -> None:
        self._number += 1
        self._hold(data)
        line, is_too_long = self._held, self._is_too_long
        self._held, self._is_too_long = b"", False
        if self._number == 1:
            line = line.removeprefix(_BOM)
        line = line.strip(b" \t\r\n")
        if not line and not is_too_long:
            return
        self._requests += 1
        try:
            if is_too_long or len(line) > self._max_line_bytes:
                longest = f"{self._max_line_bytes} bytes (fetch.max_bytes)"
                raise _Wrong("line_too_long", f"The line is longer than {longest}: send what is large by its address.")
            self._check(line)
        except _Wrong as wrong:
            self._say(self._number, wrong)

    def _check(self, line: bytes) -> None:
        custom_id, url, api = _read(line)
        earlier = self._seen.setdefault(custom_id, self._number) if self._requests <= MOST_REQUESTS else self._number
        if earlier != self._number:
            said = f"The custom_id {_shown(custom_id)} is that of line {earlier}, too: each names one request."
            raise _Wrong("duplicate_custom_id", said, "custom_id")
        if self._first is None:
            self._first = (self._number, url, api)
            return
        first, first_url, first_api = self._first
        if url != first_url:
            said = f"The url {_shown(url)} is not that of line {first}, {first_url}: a batch is for one endpoint."
            raise _Wrong("mismatched_url", said, "url")
        if api != first_api:
            said = f"The model {_shown(api)} is not that of line {first}, {first_api!r}: a batch goes to one."
            raise _Wrong("mismatched_model", said, "body.model")

    def _say(self, line: int | None, wrong: _Wrong) -> None:
        if len(self._errors) < _ERRORS_KEPT:
            self._errors.append(LineError(code=wrong.code, message=str(wrong), line=line, param=wrong.param))
        else:
            self._more += 1


def _read(line: bytes) -> tuple[str, str, str]:
    """custom_id, url and API. Raises _Wrong."""
    try:
        request = parse_json(line)
    except MalformedJson as error:
        what = str(error).rpartition(" at line ")[0]
        raise _Wrong("invalid_json_line", f"The line is not JSON: {what}, at column {error.column}.") from None
    if not isinstance(request, dict):
        raise _Wrong("invalid_json_line", f"The line is a {_kind(request)}, and a request is an object.")
    missing = [name for name in ("custom_id", "method", "url", "body") if name not in request]
    if missing:
        said = f"The request lacks {', '.join(missing)}."
        raise _Wrong("missing_required_parameter", said, missing[0])
    custom_id, method, url, body = (request[name] for name in ("custom_id", "method", "url", "body"))
    if not isinstance(custom_id, str) or not 0 < len(custom_id) <= _LONGEST_ID:
        raise _Wrong("invalid_custom_id", f"custom_id is a text of 1 to {_LONGEST_ID} characters.", "custom_id")
    if method != "POST":
        raise _Wrong("invalid_method", f"The method is {_shown(method)}, and only POST is done.", "method")
    if not isinstance(url, str) or not is_endpoint(url):
        raise _Wrong("invalid_url", f"The url {_shown(url)} is none of {', '.join(_names())}.", "url")
    return custom_id, url, _api(url, body)


def _api(url: str, body: Any) -> str:
    own = _OWN.fullmatch(url)
    if own is not None:
        return own[1]
    if not isinstance(body, dict):
        raise _Wrong("invalid_body", f"The body is a {_kind(body)}, and is to be an object with a `model`.", "body")
    model = body.get("model")
    if not isinstance(model, str):
        raise _Wrong("missing_required_parameter", "The body has no `model`: it names an API.", "body.model")
    return model[:_LONGEST_SHOWN]


def _names() -> Iterator[str]:
    yield from ENDPOINTS
    yield "/v1/apis/{api}/predict"


def _shown(value: Any) -> str:
    return repr(value)[:_LONGEST_SHOWN]


def _kind(value: Any) -> str:
    names = {bool: "truth value", int: "number", float: "number", str: "text", list: "list", type(None): "null"}
    return names.get(type(value), "value")
