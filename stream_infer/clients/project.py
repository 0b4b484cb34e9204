"""The files of a project that go along when it is deployed: all but what nobody would keep with its code."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Final, TypeAlias

from pathspec import GitIgnoreSpec

from stream_infer.errors import UsageError

# Of Cortex, whose projects have it in place of git's; in each folder, for what is below.
IGNORES: Final = (".cortexignore", ".gitignore")
MOST_BYTES: Final = 512 * 1024 * 1024
"""Unpacked. The gateway's limit is of what is packed (`limits.code_bytes`); this keeps a data set off the network."""
_LEFT_OUT = frozenset({"__pycache__", "node_modules"})
_Rules: TypeAlias = tuple[tuple[Path, GitIgnoreSpec], ...]


def project_files(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Files by their path from `folder`, in an order of their own. Not among them: what `.gitignore` leaves out (where
    there is a `.cortexignore`, that), caches, environments, and folders that are hidden. Raises UsageError."""
    if not folder.is_dir():
        raise UsageError(f"{folder} is no folder of this machine")
    total = 0
    for path in _paths(folder, ()):
        data = read_file(path)
        total += len(data)
        if total > MOST_BYTES:
            raise UsageError(
                f"{folder} has more than {MOST_BYTES // 2**20} MiB, with {path.relative_to(folder)}: keep data and "
                "models out of it by a .gitignore, and name them by their address (predictor.model: s3://…)"
            )
        yield path.relative_to(folder).as_posix(), data


def read_file(path: Path) -> bytes:
    """Raises UsageError."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}") from error


def _paths(folder: Path, rules: _Rules) -> Iterator[Path]:
    rules = (*rules, *_rules_in(folder))
    for entry in sorted(folder.iterdir(), key=lambda path: os.fsencode(path.name)):
        if _is_ignored(entry, rules):
            continue
        if entry.is_dir():
            # A link to a folder above would never end.
            if not entry.is_symlink() and not _is_left_out(entry):
                yield from _paths(entry, rules)
        elif entry.is_file() and entry.suffix != ".pyc":
            yield entry


def _rules_in(folder: Path) -> _Rules:
    for name in IGNORES:
        if (folder / name).is_file():
            lines = read_file(folder / name).decode(errors="replace").splitlines()
            return ((folder, GitIgnoreSpec.from_lines(lines)),)
    return ()


def _is_ignored(entry: Path, rules: _Rules) -> bool:
    """By the rules that lie nearest, of those that say anything of it."""
    for folder, spec in reversed(rules):
        name = PurePosixPath(entry.relative_to(folder)).as_posix()
        said = spec.check_file(f"{name}/" if entry.is_dir() else name).include
        if said is not None:
            return said
    return False


def _is_left_out(folder: Path) -> bool:
    return folder.name.startswith(".") or folder.name in _LEFT_OUT or (folder / "pyvenv.cfg").exists()
