"""What other packages add: found by their entry points, imported when it is first asked for.

A package says in its metadata what it has, as `name = "module:object"` in one of four groups; docs/plugins.md says what
each object is called with. What is built in is found without an entry point, and cannot be replaced by one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import StrEnum
from importlib.metadata import EntryPoint, entry_points
from typing import Any, NamedTuple

from stream_infer.errors import ConfigError
from stream_infer.nearest import did_you_mean


class Group(StrEnum):
    """The groups of entry points, by what their objects make."""

    SOURCES = "stream_infer.sources"
    STORES = "stream_infer.stores"
    FORMATS = "stream_infer.formats"
    PREDICTORS = "stream_infer.predictors"

    @property
    def one(self) -> str:
        """What one of them is called."""
        return self.value.partition(".")[2].removesuffix("s")


class Plugin(NamedTuple):
    """`package` and `version` are empty where the metadata does not say whose it is."""

    group: Group
    name: str
    package: str
    version: str
    target: str


def installed() -> Iterator[Plugin]:
    """Every plugin that there is here, by group and name; nothing is imported."""
    for group in Group:
        for point in sorted(entry_points(group=group), key=lambda point: point.name):
            distribution = point.dist
            name, version = ("", "") if distribution is None else (distribution.name, distribution.version)
            yield Plugin(group, point.name, name, version, point.value)


def names(group: Group) -> list[str]:
    return sorted(entry_points(group=group).names)


def load(group: Group, name: str) -> Callable[..., Any]:
    """The object of that name, which is called to make one. Raises ConfigError, its cause being what the import raised.

    Two packages with one name are an error: which one would be found is chance.
    """
    found = list(entry_points(group=group, name=name))
    if len({point.value for point in found}) > 1:
        packages = " and ".join(sorted(_package(point) for point in found))
        raise ConfigError(f"the {group.one} plugin {name!r} is in {packages}: uninstall all but one")
    if not found:
        raise ConfigError(f"no {group.one} plugin is named {name!r}{_known(group, name)}")
    made: Any
    try:
        made = found[0].load()
    except Exception as error:
        what = f"{found[0].value} of {_package(found[0])}"
        raise ConfigError(
            f"the {group.one} plugin {name!r} cannot be imported: {what} raised {type(error).__name__}: {error}"
        ) from error
    if not callable(made):
        raise ConfigError(f"the {group.one} plugin {name!r} is {found[0].value}, which cannot be called")
    return made  # type: ignore[no-any-return]  # callable() narrows Any to no signature


def _package(point: EntryPoint) -> str:
    return "a package without metadata" if point.dist is None else f"{point.dist.name} {point.dist.version}"


def _known(group: Group, name: str) -> str:
    known = names(group)
    if not known:
        return f": no package here has an entry point of {group.value}; install the one that has it where this runs"
    return did_you_mean(name, known, f": there are {', '.join(known)}")
