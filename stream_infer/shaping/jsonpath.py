"""JSONPath (RFC 9535), by python-jsonpath."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from jsonpath import CompoundJSONPath, JSONPath, JSONPathEnvironment
from jsonpath.exceptions import JSONPathError
from jsonpath.filter import FilterQuery, walk
from jsonpath.match import JSONPathMatch
from jsonpath.segments import JSONPathChildSegment, JSONPathRecursiveDescentSegment
from jsonpath.selectors import Filter, IndexSelector, NameSelector
from jsonpath.token import TOKEN_EOF

from stream_infer.shaping.filters import FilterFailed, MalformedFilter, Steps

_LANGUAGE = "JSONPath"
_REGULAR_EXPRESSIONS = ("match", "search")


class JsonPathFilter:
    """Of a path to one place (`$.a[0]`) that place's value; of several names in one place (`$['a', 'b']`) an object of
    those that are there; of any other path the list of what it finds. That one place is not there is an error.

    As AWS's Batch Transform has it, which leaves the several names in their object.
    """

    def __init__(self, text: str) -> None:
        """Raises MalformedFilter."""
        self._text = text
        self._steps = Steps()
        self._path = _compiled(text, self._steps)
        self._singular = _keys_of(self._path)
        self._names = _names_of(self._path) if self._singular is None else None

    @property
    def may_enlarge(self) -> bool:
        return self._singular is None and self._names is None

    def __call__(self, value: Any) -> Any:
        if self._singular is not None:
            return self._at(value, self._singular)
        if self._names is not None:
            above, names = self._names
            found = self._at(value, above)
            if not isinstance(found, dict):
                raise FilterFailed(f"{self._text} names members of an object, and finds {_kind_of(found)} there")
            return {name: found[name] for name in names if name in found}
        if not isinstance(value, dict | list):
            return []  # and a string would be read as a document
        self._steps.begin()
        try:
            return [match.obj for match in self._path.finditer(value)]
        except JSONPathError as error:
            raise FilterFailed(f"{self._text} cannot be followed: {error.message}") from None

    def _at(self, value: Any, keys: list[str | int]) -> Any:
        for key in keys:
            try:
                if isinstance(value, dict if isinstance(key, str) else list):
                    value = value[key]  # type: ignore[index] # a name of an object, an index of a list
                    continue
            except LookupError:
                pass
            raise FilterFailed(f"{self._text} finds nothing: {_kind_of(value)} without {key!r}")
        return value


def _compiled(text: str, steps: Steps) -> JSONPath:
    try:
        path = _Environment(steps).compile(text)
    except JSONPathError as error:
        token = error.token
        position = len(text) if token is None or token.kind == TOKEN_EOF else token.index
        raise MalformedFilter(text, position, _reason(error), _LANGUAGE) from None
    except RecursionError:
        raise MalformedFilter(text, 0, "it is nested too deeply", _LANGUAGE) from None
    except Exception as error:  # noqa: BLE001 - whatever the library stumbles over is no path
        raise MalformedFilter(text, 0, f"it cannot be read: {error!r}"[:200], _LANGUAGE) from None
    if isinstance(path, CompoundJSONPath):
        raise MalformedFilter(text, 0, "unions of paths are not part of RFC 9535", _LANGUAGE)
    _count_visits(path, steps)
    return path


def _reason(error: JSONPathError) -> str:
    reason = str(error.message)
    if any(f"{name!r} is not defined" in reason for name in _REGULAR_EXPRESSIONS):
        reason += "; regular expressions are not run here"
    return reason


class _Environment(JSONPathEnvironment):
    """One without regular expressions, that counts what it tests."""

    def __init__(self, steps: Steps) -> None:
        super().__init__(strict=True)
        self._steps = steps

    def setup_function_extensions(self) -> None:
        super().setup_function_extensions()
        for name in _REGULAR_EXPRESSIONS:
            del self.function_extensions[name]

    def is_truthy(self, obj: object) -> bool:
        self._steps.spend()
        return super().is_truthy(obj)

    def compare(self, left: object, operator: str, right: object) -> bool:
        self._steps.spend()
        return super().compare(left, operator, right)


def _count_visits(path: JSONPath, steps: Steps) -> None:
    """Of the path and of those within its filters: the library makes what is visited from what it begins with.

    (It does not use its own `match_class` for that, 2.2.) A visit costs as many steps as the place is deep.
    """

    class Counted(JSONPathMatch):
        __slots__ = ()

        def __init__(self, *, parts: tuple[int | str, ...], **fields: Any) -> None:
            steps.spend(1 + len(parts))
            super().__init__(parts=parts, **fields)

    def counted(node: JSONPathMatch) -> JSONPathMatch:
        return Counted(
            filter_context=node.filter_context(), obj=node.obj, parent=None, path="", parts=(), root=node.root
        )

    class Children(JSONPathChildSegment):
        def resolve(self, nodes: Iterable[JSONPathMatch]) -> Iterable[JSONPathMatch]:
            return super().resolve(map(counted, nodes))

    class Descendants(JSONPathRecursiveDescentSegment):
        def resolve(self, nodes: Iterable[JSONPathMatch]) -> Iterable[JSONPathMatch]:
            return super().resolve(map(counted, nodes))

    for within in _paths_in(path):
        if within.segments:
            first, *rest = within.segments
            kind = Descendants if isinstance(first, JSONPathRecursiveDescentSegment) else Children
            within.segments = (kind(env=first.env, token=first.token, selectors=first.selectors), *rest)


def _paths_in(path: JSONPath) -> list[JSONPath]:
    """The path, and those of the queries in its filters."""
    found = [path]
    selectors = [selector for segment in path.segments for selector in segment.selectors]
    for selector in selectors:
        if isinstance(selector, Filter):
            for part in walk(selector.expression):
                if isinstance(part, FilterQuery) and all(part.path is not one for one in found):
                    found += _paths_in(part.path)
    return found


def _keys_of(path: JSONPath, segments: int | None = None) -> list[str | int] | None:
    """The keys of a path to one place, of its first `segments`; None where it may lead to several."""
    keys: list[str | int] = []
    for segment in path.segments[:segments]:
        if isinstance(segment, JSONPathRecursiveDescentSegment) or len(segment.selectors) != 1:
            return None
        match segment.selectors[0]:
            case NameSelector(name=name):
                keys.append(name)
            case IndexSelector(index=index):
                keys.append(index)
            case _:
                return None
    return keys


def _names_of(path: JSONPath) -> tuple[list[str | int], list[str]] | None:
    """The keys of the object and the names in it, where the path ends with several names."""
    last, above = path.segments[-1], _keys_of(path, -1)
    if above is None or isinstance(last, JSONPathRecursiveDescentSegment):
        return None
    names = [selector.name for selector in last.selectors if isinstance(selector, NameSelector)]
    return (above, names) if len(names) == len(last.selectors) else None


def _kind_of(value: Any) -> str:
    match value:
        case dict():
            return "an object"
        case list():
            return f"a list of {len(value)}"
        case str():
            return "a string"
        case None:
            return "null"
        case _:
            return repr(value)
