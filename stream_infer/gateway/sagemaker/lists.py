"""ListTransformJobs and ListModels: what is asked for, and one page of it. Pure.

A page's token holds where it has ended in the order that was asked for, so that what comes or goes between two pages
shifts nothing: an entry is seen twice or not at all only where what it is sorted by has changed. No more is looked at
than what stands behind that, up to the page's end.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any, Generic, Literal, Protocol, TypeAlias, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from stream_infer.gateway.job_lists import Place
from stream_infer.gateway.sagemaker.transform import refused
from stream_infer.http.json_text import parse_json, to_json

T = TypeVar("T")
Sorting: TypeAlias = Literal["Name", "CreationTime", "Status"]
SORTED_BY: tuple[Sorting, ...] = ("Name", "CreationTime", "Status")
# Behind every name.
_LAST = "\x7f"
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
    SortBy: Sorting = "CreationTime"


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


class Walk(Protocol[T]):
    """The entries that come behind `after`, with their places, from the least one up, or from the greatest down."""

    def __call__(self, after: Place | None, *, is_up: bool) -> Iterable[tuple[Place, Entry[T]]]: ...


def page_of(entries: Iterable[Entry[T]], asked: ListModels | ListTransformJobs) -> Page[T]:
    """Of entries in any order. Raises a Problem where the token is none of this list."""

    def walk(after: Place | None, *, is_up: bool) -> Iterable[tuple[Place, Entry[T]]]:
        placed = sorted(((place_of(entry, asked.SortBy), entry) for entry in entries), key=_first, reverse=not is_up)
        return (one for one in placed if after is None or (one[0] > after if is_up else one[0] < after))

    return page_along(walk, asked)


def page_along(walk: Walk[T], asked: ListModels | ListTransformJobs) -> Page[T]:
    """Of entries that come sorted. Raises a Problem where the token is none of this list."""
    is_up = asked.SortOrder == "Ascending"
    found: list[tuple[Place, Entry[T]]] = []
    for place, entry in walk(_start(asked, is_up=is_up), is_up=is_up):
        if _is_past(entry, asked, is_up=is_up):
            break
        if _is_wanted(entry, asked):
            found.append((place, entry))
            if len(found) > asked.MaxResults:
                break
    shown = found[: asked.MaxResults]
    token = _token(asked, shown[-1][0]) if len(found) > len(shown) else None
    return Page([entry.of for _, entry in shown], token)


def place_of(entry: Entry[Any], by: Sorting) -> Place:
    """The name stands behind it: no two entries have one place."""
    match by:
        case "Name":
            return entry.name, entry.name
        case "Status":
            return entry.status, entry.name
        case "CreationTime":
            return entry.created, entry.name


def _first(placed: tuple[Place, Entry[Any]]) -> Place:
    return placed[0]


def _start(asked: ListModels | ListTransformJobs, *, is_up: bool) -> Place | None:
    """Where the page begins: behind the one before, and not before the times that are asked for."""
    after = _read_token(asked)
    time = asked.CreationTimeAfter if is_up else asked.CreationTimeBefore
    if asked.SortBy != "CreationTime" or time is None:
        return after
    bound: Place = (time, _LAST if is_up else "")
    if after is None:
        return bound
    return max(after, bound) if is_up else min(after, bound)


def _is_past(entry: Entry[Any], asked: ListModels | ListTransformJobs, *, is_up: bool) -> bool:
    """Whether neither it nor any behind it is of the times that are asked for."""
    if asked.SortBy != "CreationTime":
        return False
    if is_up:
        return not _is_between(None, entry.created, asked.CreationTimeBefore)
    return not _is_between(asked.CreationTimeAfter, entry.created, None)


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


def _token(asked: ListModels | ListTransformJobs, place: Place) -> str:
    return base64.urlsafe_b64encode(to_json([asked.SortBy, asked.SortOrder, *place])).decode()


def _read_token(asked: ListModels | ListTransformJobs) -> Place | None:
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
