"""What is asked of a gateway, as values: a request, and how its answer is read."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ValidationError

from stream_infer.clients.errors import GatewayFailed

T = TypeVar("T")
B = TypeVar("B", bound=BaseModel)
_NONE: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A body that is sent as it is made, in constant memory. `begin` makes its chunks, anew where `can_begin_again`.

    `size` in bytes, where it is known before.
    """

    begin: Callable[[], Iterator[bytes]]
    can_begin_again: bool
    size: int | None = None


@dataclass(frozen=True, slots=True)
class AsyncOutgoing:
    """The same for what only a coroutine can make."""

    begin: Callable[[], AsyncIterator[bytes]]
    can_begin_again: bool = False
    size: int | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a form (multipart/form-data)."""

    content: bytes
    content_type: str
    filename: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """`path` has its query. `is_repeatable`: asked twice it changes nothing more. `patience_s`: how long the gateway
    may take for the next bytes of its answer, where that is more than the client's own patience.
    """

    method: str
    path: str
    body: bytes | Outgoing | AsyncOutgoing | None = None
    form: Mapping[str, Part] | None = None
    headers: Mapping[str, str] = field(default_factory=lambda: _NONE)
    is_repeatable: bool = False
    patience_s: float = 0.0

    @property
    def may_be_repeated(self) -> bool:
        is_sent_again = not isinstance(self.body, Outgoing | AsyncOutgoing) or self.body.can_begin_again
        return self.is_repeatable and is_sent_again


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer that is no error, read to its end. `headers` have names in lower case; `where` is what was asked."""

    where: str
    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """A request, and what its answer means. `read` raises GatewayFailed of what no gateway answers."""

    request: Request
    read: Callable[[Answer], T]


def reading(model: type[B]) -> Callable[[Answer], B]:
    """Reads an answer that is a `model` in JSON."""

    def read(answer: Answer) -> B:
        try:
            return model.model_validate_json(answer.body)
        except ValidationError as error:
            raise GatewayFailed(
                f"what answers at {answer.where} is no gateway of this version: {error.error_count()} errors in its "
                f"{model.__name__}",
                status=answer.status,
            ) from error

    return read


def nothing(_answer: Answer) -> None:
    """Reads an answer that says no more than that it was done."""


def as_it_is(answer: Answer) -> tuple[bytes, str]:
    """Its bytes, and their content type."""
    return answer.body, answer.headers.get("content-type", "")


def any_json(answer: Answer) -> Any:
    try:
        return json.loads(answer.body)
    except ValueError as error:
        raise GatewayFailed(f"what answers at {answer.where} is no JSON: {error}", status=answer.status) from error
