"""ListTransformJobs and ListModels: what is asked for, and one page of it. Pure.

A page's token holds where it has ended in the order that was asked for, so that what comes or goes between two pages
shifts nothing: an entry is seen twice or not at all only where what it is sorted by has changed.
"""

from __future__ import annotations

import base64
import heapq
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any, Generic, Literal, TypeAlias, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from stream_infer.gateway.sagemaker.transform import refused
from stream_infer.http.json_text import parse_json, to_json

T = TypeVar("T")
_Place: TypeAlias = tuple[str | float, str]
_Moment = Annotated[float, Field(allow_inf_nan=False)]


class _Asked(BaseModel):
    """Of either list; times in seconds since the epoch. SageMaker's own names and defaults."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    CreationTimeAfter: _Moment | None = None
    CreationTimeBefore: _Moment | None = None
    NameContains: str | None = Field(default=None, max_length=63, pattern=r"^[a-zA-Z0-9-]+$")
    SortOrder: Literal["Ascending", "Descending"] = "Descending"
    MaxResults: int = Field(default=10, ge=1, le=100)
    NextToken: str | None = Field(default=None, max_length=8192)


class ListModels(_Asked):
    SortBy: Literal["Name", "CreationTime"] = "CreationTime"


class ListTransformJobs(_Asked):
    LastModifiedTimeAfter: _Moment | None = None
    LastModifiedTimeBefore: _Moment | None = None
    StatusEquals: Literal["InProgress", "Completed", "Failed", "Stopping", "Stopped"] | None = None
    SortBy: Literal["Name", "CreationTime", "Status"] = "CreationTime"


@dataclass(frozen=True, slots=True)
class Entry(Generic[T]):
    """What `of` is found by; `created` and `modified` in seconds since the epoch."""

    of: T
    name: str
    created: float
    modified: float = 0.0
    status: str = ""


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """`token`: what to ask for the next one with; None: there is none."""

    entries: list[T]
    token: str | None

    @property
    def more(self) -> dict[str, str]:
        """As an answer has it."""
        return {} if self.token is None else {"NextToken": self.token}


def page_of(entries: Iterable[Entry[T]], asked: ListModels | ListTransformJobs) -> Page[T]:
    """Raises a Problem where the token is none of this list."""
    after = _read_token(asked)
    is_up = asked.SortOrder == "Ascending"
    choose = heapq.nsmallest if is_up else heapq.nlargest

    def place(entry: Entry[T]) -> _Place:
        return _place(entry, asked.SortBy)

    def is_behind(entry: Entry[T]) -> bool:
        if after is None:
            return True
        return place(entry) > after if is_up else place(entry) < after

    wanted = (entry for entry in entries if _is_wanted(entry, asked) and is_behind(entry))
    found = choose(asked.MaxResults + 1, wanted, key=place)
    shown = found[: asked.MaxResults]
    token = _token(asked, place(shown[-1])) if len(found) > len(shown) else None
    return Page([entry.of for entry in shown], token)


def _is_wanted(entry: Entry[Any], asked: ListModels | ListTransformJobs) -> bool:
    if asked.NameContains is not None and asked.NameContains not in entry.name:
        return False
    if not _is_between(asked.CreationTimeAfter, entry.created, asked.CreationTimeBefore):
        return False
    if isinstance(asked, ListModels):
        return True
    is_so = asked.StatusEquals in (None, entry.status)
    return is_so and _is_between(asked.LastModifiedTimeAfter, entry.modified, asked.LastModifiedTimeBefore)


def _is_between(after: float | None, at: float, before: float | None) -> bool:
    return (after is None or at > after) and (before is None or at < before)


def _place(entry: Entry[Any], by: str) -> _Place:
    """The name stands behind it: no two entries have one place."""
    match by:
        case "Name":
            return entry.name, entry.name
        case "Status":
            return entry.status, entry.name
        case _:
            return entry.created, entry.name


def _token(asked: ListModels | ListTransformJobs, place: _Place) -> str:
    return base64.urlsafe_b64encode(to_json([asked.SortBy, asked.SortOrder, *place])).decode()


def _read_token(asked: ListModels | ListTransformJobs) -> _Place | None:
    if asked.NextToken is None:
        return None
    try:
        by, order, value, name = parse_json(base64.urlsafe_b64decode(asked.NextToken))
    except (ValueError, TypeError):
        by = order = value = name = None
    kind = float if asked.SortBy == "CreationTime" else str
    if (by, order) != (asked.SortBy, asked.SortOrder) or not isinstance(value, kind) or not isinstance(name, str):
        detail = "is none of a list that is sorted so: ask with the same SortBy and SortOrder, or begin without it"
        raise refused("/NextToken", detail)
    return value, name
