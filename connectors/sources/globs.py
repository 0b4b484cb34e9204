"""Which files of a tree are meant: the patterns of `includes` and `excludes`.

As in .gitignore and most tools: `*`, `?` and `[abc]` stay within one name, `**` stands for any number of directories,
`{jpg,png}` for either. A pattern without a '/' is about names at any depth (`*.jpg`); with one it is about the path
from the root (`2024/*.jpg`, `/*.jpg` for the root itself). One that ends in '/' means all below. Upper and lower case
differ. A wildcard does not stand for a leading dot, so hidden files are meant only where a pattern writes their dot.
An exclude also takes what lies below a directory that it matches, hidden or not.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from stream_infer.errors import SourceError

MAX_ALTERNATIVES = 64
_BRACES = re.compile(r"\{([^{}]*)\}")


class _Segment(NamedTuple):
    """One part of a pattern between slashes; `regex` None is `**`."""

    regex: re.Pattern[str] | None
    writes_dot: bool

    def covers(self, name: str, *, hidden: bool) -> bool:
        return self.regex is not None and (self.writes_dot or not hidden) and self.regex.match(name) is not None


_ANY_DEPTH = _Segment(None, False)
_Pattern = tuple[_Segment, ...]


@dataclass(frozen=True, slots=True)
class FileSelection:
    """Files that match one of `includes` and none of `excludes`. Where it `hides`, no wildcard means a leading dot."""

    includes: tuple[_Pattern, ...]
    excludes: tuple[_Pattern, ...]
    hides: bool = True

    def selects(self, parts: Sequence[str]) -> bool:
        """Whether the file at the path `parts` (names from the root on) is meant."""
        return any(_matches(pattern, parts, hides=self.hides) for pattern in self.includes) and not self._excluded(
            parts
        )

    def enters(self, parts: Sequence[str]) -> bool:
        """Whether anything below the directory at the path `parts` may be meant."""
        if parts[-1].startswith(".") and not any(part.writes_dot for pattern in self.includes for part in pattern):
            return False
        return not self._excluded(parts)

    def _excluded(self, parts: Sequence[str]) -> bool:
        return any(_matches(pattern, parts, hides=False) for pattern in self.excludes)


def select_files(includes: Sequence[str] = (), excludes: Sequence[str] = ()) -> FileSelection:
    """No `includes` means every file that is not hidden. Raises SourceError."""
    return FileSelection(
        tuple(pattern for text in includes or ("**",) for pattern in _parsed(text)),
        tuple(pattern for text in excludes for pattern in _parsed(text)),
    )


def select_objects(includes: Sequence[str] = (), excludes: Sequence[str] = ()) -> FileSelection:
    """Of S3, where a dot hides nothing; the parts are those of the whole address, `s3:` and the bucket first.

    A pattern is about the whole address where it begins with s3://, else about its end: `cats/*.jpg` says as much as
    `**/cats/*.jpg`. No `includes` means every object. Raises SourceError.
    """
    return FileSelection(
        tuple(pattern for text in includes or ("**",) for pattern in _parsed(_floating(text))),
        tuple(pattern for text in excludes for pattern in _parsed(_floating(text))),
        hides=False,
    )


def _floating(text: str) -> str:
    return text if text.startswith("s3://") else f"**/{text}"


def _parsed(text: str) -> list[_Pattern]:
    return [_pattern(alternative) for alternative in _alternatives(text)]


def _alternatives(text: str) -> list[str]:
    """`a{b,c}` is `ab` and `ac`; braces within braces are resolved from the inside."""
    done: list[str] = []
    waiting = [text]
    while waiting:
        if len(waiting) + len(done) > MAX_ALTERNATIVES:
            raise SourceError(
                f"pattern {text[:80]!r} has more than {MAX_ALTERNATIVES} alternatives: write fewer braces"
            )
        current = waiting.pop()
        if (match := _BRACES.search(current)) is None:
            done.append(current)
            continue
        before, behind = current[: match.start()], current[match.end() :]
        waiting += [before + choice + behind for choice in match[1].split(",")]
    return done


def _pattern(text: str) -> _Pattern:
    path = text.removeprefix("./")
    anchored = "/" in path.rstrip("/")
    names = [name for name in path.split("/") if name]
    if not names or ".." in names:
        raise SourceError(f"pattern {text[:80]!r} matches nothing: it is empty or leads out of the directory with '..'")
    if path.endswith("/"):
        names.append("**")
    segments = [] if anchored else [_ANY_DEPTH]
    for name in names:
        segment = _ANY_DEPTH if name == "**" else _Segment(re.compile(fnmatch.translate(name)), name.startswith("."))
        if segment is not _ANY_DEPTH or segments[-1:] != [_ANY_DEPTH]:
            segments.append(segment)
    return tuple(segments)


def _matches(pattern: _Pattern, parts: Sequence[str], *, hides: bool) -> bool:
    """Whether `pattern` covers all of `parts`. Where `hides`, a wildcard does not stand for a leading dot.

    The shortest stretch for the last `**` is tried first and grown, never that of an earlier one: if any choice fits,
    the shortest for the earlier ones does. So a hostile pattern costs a product of lengths, not a power.
    """
    at = done = 0
    resume: tuple[int, int] | None = None
    while done < len(parts):
        segment = pattern[at] if at < len(pattern) else None
        hidden = hides and parts[done].startswith(".")
        if segment is _ANY_DEPTH:
            resume = (at + 1, done)
            at += 1
            if at == len(pattern):
                return not (hides and any(part.startswith(".") for part in parts[done:]))
            continue
        if segment is not None and segment.covers(parts[done], hidden=hidden):
            at, done = at + 1, done + 1
            continue
        if resume is None or (hides and parts[resume[1]].startswith(".")):
            return False
        at, done = resume[0], resume[1] + 1
        resume = (at, done)
    return at == len(pattern)
