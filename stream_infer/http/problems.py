"""Errors as RFC 9457 problem documents: what is wrong, where, and what to do."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from enum import Enum
from http import HTTPStatus
from typing import Any, TypeAlias

import structlog
from aiohttp import web
from pydantic import BaseModel, ConfigDict

from stream_infer.errors import (
    Fenced,
    RetryableError,
    ServiceUnavailable,
    SourceError,
    StreamInferError,
    TopicMismatch,
    TransactionAborted,
)
from stream_infer.http.json_text import to_json
from stream_infer.nearest import nearest

Handler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]

CONTENT_TYPE = "application/problem+json"
RETRY_AFTER_S = 5
_log = structlog.get_logger(__name__)


class ProblemKind(Enum):
    """Every kind of problem: the end of its `type`, its HTTP status, its title."""

    MALFORMED_REQUEST = ("malformed-request", 400, "The request cannot be read")
    MALFORMED_JSON = ("malformed-json", 400, "The body is not JSON")
    INVALID_QUERY = ("invalid-query", 400, "The query string is wrong")
    NO_KEY = ("no-key", 401, "An API key is needed")
    INCOMPLETE_SIGNATURE = ("incomplete-signature", 401, "The request is not signed as AWS's clients sign")
    WRONG_SIGNATURE = ("wrong-signature", 401, "The request's signature does not hold")
    SCOPE_MISSING = ("scope-missing", 403, "The API key may not do this")
    FOREIGN_ORIGIN = ("foreign-origin", 403, "A web page of another site asks")
    FOREIGN_HOST = ("foreign-host", 403, "The server is called by a name that is not its own")
    CODE_REFUSED = ("code-refused", 403, "Code is not taken from here")
    UNKNOWN_PATH = ("unknown-path", 404, "There is nothing at this path")
    UNKNOWN_API = ("unknown-api", 404, "There is no such API")
    NO_REALTIME = ("no-realtime", 404, "The API answers no requests")
    UNKNOWN_JOB = ("unknown-job", 404, "There is no such job")
    UNKNOWN_FILE = ("unknown-file", 404, "There is no such file")
    UNKNOWN_DEAD_LETTER = ("unknown-dead-letter", 404, "There is no such dead letter")
    METHOD_NOT_ALLOWED = ("method-not-allowed", 405, "The path does not have this method")
    NO_PAYLOAD = ("no-payload", 409, "The payload cannot be brought")
    NO_LINKS = ("no-links", 409, "The store has no links")
    JOB_NOT_FINAL = ("job-not-final", 409, "The job is not in a final state")
    JOB_IS_FINAL = ("job-is-final", 409, "The job has ended")
    JOB_NAME_TAKEN = ("job-name-taken", 409, "The TransformJobName is in use")
    API_EXISTS = ("api-exists", 409, "There is such an API already")
    API_CONFIGURED = ("api-configured", 409, "The API is one of stream-infer.yaml")
    API_BUSY = ("api-busy", 409, "The API has jobs that have not ended")
    REPLAY_TAKEN_OVER = ("replay-taken-over", 409, "Another replay took over")
    TOO_LARGE = ("too-large", 413, "The request is over a limit")
    UNSUPPORTED_MEDIA_TYPE = ("unsupported-media-type", 415, "The body's content type is not read here")
    LIMIT_EXCEEDED = ("limit-exceeded", 422, "More is asked for than there may be")
    INVALID_REQUEST = ("invalid-request", 422, "The request is not valid")
    SOURCE_REFUSED = ("source-refused", 422, "The job's source cannot be read")
    IDEMPOTENCY_CONFLICT = ("idempotency-conflict", 422, "The Idempotency-Key belongs to another request")
    REQUEST_TIMEOUT = ("request-timeout", 408, "The request did not come in time")
    RATE_LIMITED = ("rate-limited", 429, "The API key asks too often")
    FULL = ("full", 429, "As much is in flight as may be")
    HEADERS_TOO_LARGE = ("headers-too-large", 431, "The request's headers are over a limit")
    ITEM_REJECTED = ("item-rejected", 422, "The item is rejected")
    ITEM_FAILED = ("item-failed", 500, "The predictor failed on the item")
    PREDICTOR_CRASHED = ("predictor-crashed", 500, "The item took the predictor's process down")
    INTERNAL = ("internal", 500, "The server failed")
    REPLICA_LOST = ("replica-lost", 502, "The replica went away with the request")
    ITEM_MAY_SUCCEED = ("item-may-succeed", 503, "The same item may succeed later")
    PREDICTOR_UNAVAILABLE = ("predictor-unavailable", 503, "The predictor cannot be loaded")
    UNAVAILABLE = ("unavailable", 503, "A service that is needed does not answer")
    NOT_READY = ("not-ready", 503, "The server is not ready")
    BUSY = ("busy", 503, "The server has too much to do")
    DEADLINE_PASSED = ("deadline-passed", 504, "There was no answer in time")

    def __init__(self, slug: str, status: int, title: str) -> None:
        self.slug = slug
        self.status = status
        self.title = title

    @property
    def type(self) -> str:
        return f"urn:stream-infer:problem:{self.slug}"


class FieldError(BaseModel):
    """One thing wrong with the body: `pointer` is a JSON pointer (RFC 6901) to it, "" for the whole."""

    model_config = ConfigDict(frozen=True)

    pointer: str
    detail: str


class ProblemDocument(BaseModel):
    """RFC 9457. Members beyond these say what the `type` needs: `line`, `accepted`, `known`."""

    model_config = ConfigDict(frozen=True, extra="allow")

    type: str
    title: str
    status: int
    detail: str
    errors: list[FieldError] | None = None


class Problem(Exception):
    """Ends a request with a problem document. `members` are added to it."""

    def __init__(
        self,
        kind: ProblemKind,
        detail: str,
        *,
        errors: Sequence[FieldError] = (),
        headers: Mapping[str, str] | None = None,
        status: int | None = None,
        **members: Any,
    ) -> None:
        super().__init__(detail)
        self.kind = kind
        self.status = status or kind.status
        self.headers = dict(headers or {})
        self.document = ProblemDocument(
            type=kind.type,
            title=kind.title,
            status=self.status,
            detail=detail,
            errors=list(errors) or None,
            **members,
        )

    def with_members(self, **members: Any) -> Problem:
        """The same problem, saying more."""
        self.document = ProblemDocument(**(self.document.model_dump() | members))
        return self

    def body(self) -> bytes:
        return to_json(self.document.model_dump(exclude_none=True))

    def all_headers(self) -> dict[str, str]:
        """Its own, and when to come again where that would help."""
        default = {"Retry-After": str(RETRY_AFTER_S)} if self.status == HTTPStatus.SERVICE_UNAVAILABLE else {}
        return default | self.headers

    def response(self) -> web.Response:
        headers = self.all_headers()
        return web.Response(status=self.status, body=self.body(), content_type=CONTENT_TYPE, headers=headers)


def hint(name: str, known: Iterable[str]) -> str:
    """ " Did you mean 'x'?" where one of `known` is near, or nothing."""
    near = nearest(name, known)
    return "" if near is None else f" Did you mean {near!r}?"


def unknown_api(name: str, known: Sequence[str]) -> Problem:
    listed = ", ".join(known) or "none is configured: add one under apis in stream-infer.yaml"
    detail = f"No API is named {name[:100]!r}.{hint(name, known)} Known APIs: {listed}."
    return Problem(ProblemKind.UNKNOWN_API, detail, known=list(known))


def sentence(error: Exception) -> str:
    """What it says, with a full stop, so that another sentence can follow."""
    text = str(error).rstrip()
    return text if text.endswith((".", "!", "?")) else f"{text}."


def problem_of(error: StreamInferError) -> Problem:
    """What an error of ours means to a client."""
    match error:
        case ServiceUnavailable() | TransactionAborted() | RetryableError():
            return Problem(ProblemKind.UNAVAILABLE, f"{sentence(error)} Try again in {RETRY_AFTER_S} s.")
        case Fenced():
            return Problem(ProblemKind.UNAVAILABLE, f"{sentence(error)} Another producer took over; try again.")
        case TopicMismatch():
            return Problem(ProblemKind.UNAVAILABLE, str(error))
        case SourceError():
            return Problem(ProblemKind.SOURCE_REFUSED, str(error))
        case _:
            return Problem(ProblemKind.INTERNAL, str(error))


@web.middleware
async def answer_with_problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Every error of a handler, and every one that aiohttp makes itself, becomes a problem document."""
    try:
        return await handler(request)
    except Problem as problem:
        return problem.response()
    except web.HTTPException as error:
        if error.status < HTTPStatus.BAD_REQUEST:
            raise
        return _http_problem(request, error).response()
    except StreamInferError as error:
        answer = problem_of(error)
        _log.warning("request_failed", method=request.method, path=request.path, status=answer.status, error=str(error))
        return answer.response()
    except ConnectionError:
        raise  # the client went away: there is nobody to answer
    except Exception:  # noqa: BLE001 (the boundary: a client gets an answer, the log the traceback)
        return own_fault(request).response()


def own_fault(request: web.Request) -> Problem:
    """Of the exception that is being handled, which it logs."""
    _log.exception("request_failed", method=request.method, path=request.path, status=500)
    detail = "An error that is the server's own fault; its log has the traceback. Nothing is known to be changed."
    return Problem(ProblemKind.INTERNAL, detail)


def _http_problem(request: web.Request, error: web.HTTPException) -> Problem:
    match error:
        case web.HTTPNotFound():
            detail = f"{request.path[:200]!r} is no path here; the gateway's /openapi.json lists its own."
            return Problem(ProblemKind.UNKNOWN_PATH, detail)
        case web.HTTPMethodNotAllowed():
            allowed = ", ".join(sorted(error.allowed_methods))
            detail = f"{request.path[:200]!r} has no {error.method}; it has {allowed}."
            return Problem(ProblemKind.METHOD_NOT_ALLOWED, detail, headers={"Allow": allowed})
        case web.HTTPRequestEntityTooLarge():
            detail = f"{error.text}. The limit is limits.request_bytes; for many items use a file, or POST …/items."
            return Problem(ProblemKind.TOO_LARGE, detail)
        case web.HTTPUnsupportedMediaType():
            return Problem(ProblemKind.UNSUPPORTED_MEDIA_TYPE, error.text or error.reason)
        case _:
            kind = ProblemKind.INTERNAL if error.status >= 500 else ProblemKind.MALFORMED_REQUEST
            return Problem(kind, error.text or error.reason, status=error.status)
