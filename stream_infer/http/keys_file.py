"""The file of keys: a YAML list, an entry a key. Where hashes alone stand in it, it is no secret; with a key for AWS's
clients in it, it is one, which its owner alone may read.
"""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import structlog
import yaml
from pydantic import ValidationError

from stream_infer.errors import ConfigError
from stream_infer.http.keys import KeyEntry, KeyRing
from stream_infer.http.reloading import Reloading
from stream_infer.http_settings import GatewaySettings

SETTING = "gateway.api_keys_file"
# The file's own limit: whoever reads YAML that anybody may have written builds what it says.
_MOST_BYTES = 1024 * 1024
_OWNERS_ALONE = 0o600
_log = structlog.get_logger(__name__)
# The one in C takes a tenth of the time, for which a gateway answers nobody.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def open_keys(gateway: GatewaySettings) -> Reloading[KeyRing] | None:
    """The keys that clients need; None: nobody is asked for one. Raises ConfigError."""
    file = gateway.api_keys_file
    return None if file is None else Reloading("API keys", [file], lambda: _read_warily(file))


def _read_warily(file: Path) -> KeyRing:
    ring = read_keys(file)
    if ring.has_secrets and _is_open(file):
        _log.warning(
            "secrets_readable", file=str(file), why="it holds secrets, and everybody here may read it: chmod 600"
        )
    return ring


def _is_open(file: Path) -> bool:
    """To everybody on the machine. A group is let in on purpose."""
    return bool(file.stat().st_mode & stat.S_IROTH)


def read_keys(file: Path) -> KeyRing:
    """Raises ConfigError, which says what is wrong with which entry."""
    try:
        if file.stat().st_size > _MOST_BYTES:
            raise ConfigError(f"{SETTING}: {file} has more than {_MOST_BYTES:,} bytes, and is no list of keys")
        return keys_in(file.read_text(encoding="utf-8"), str(file))
    except FileNotFoundError:
        raise ConfigError(f"{SETTING}: there is no {file}; `stream-infer keys new NAME --add` begins one") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{SETTING}: {file} cannot be read: {error}") from None


def keys_in(text: str, file: str) -> KeyRing:
    """The keys of a file's text. Raises ConfigError."""
    try:
        listed = yaml.load(text, Loader=_LOADER)  # noqa: S506 - either is a safe one  # nosec B506
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise ConfigError(f"{SETTING}: {file} is no YAML: {' '.join(str(error).split())}") from None
    if listed is None:
        return KeyRing()
    if not isinstance(listed, list):
        raise ConfigError(f"{SETTING}: {file} is no list; each key is an entry such as\n{entry_text(_EXAMPLE)}")
    try:
        return KeyRing(_entry(number, one, file) for number, one in enumerate(listed, 1))
    except ValueError as error:
        raise ConfigError(f"{SETTING}: {file}: {error}") from None


def entry_text(entry: KeyEntry) -> str:
    """An entry as a line of the file, its end included."""
    fields = entry.model_dump(mode="json", exclude_none=True)
    fields["scopes"] = sorted(fields["scopes"])
    line: str = yaml.safe_dump(fields, default_flow_style=True, sort_keys=False, width=10_000)
    return f"- {line}"


def add_entry(file: Path, entry: KeyEntry) -> None:
    """Puts the entry at the end of the file, which may not be there yet; nothing else of it changes, neither comments
    nor whose it is and who may read it, and a link to it stays one. With its first secret it becomes its owner's alone.

    A reader sees the file before or after, never half; of two at once each one's entry is there. Raises ConfigError
    where the file is none that can be added to.
    """
    target = file.resolve()
    try:
        with _alone(target.parent):
            before, after = _with_entry(target, entry)
            is_first_secret = entry.aws_secret is not None and not before.has_secrets
            _replace(target, after, owners_alone=is_first_secret)
    except PermissionError as error:
        raise ConfigError(
            f"{SETTING}: {file} cannot be written by this user ({error.strerror}): add this by hand\n"
            f"{entry_text(entry)}"
        ) from None
    except OSError as error:
        raise ConfigError(f"{SETTING}: {file} cannot be written: {error.strerror or error}") from None


def _with_entry(file: Path, entry: KeyEntry) -> tuple[KeyRing, str]:
    """The keys that are in the file, and its text with the entry behind them. Raises ConfigError."""
    try:
        before = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        before = ""
    except UnicodeDecodeError as error:
        raise ConfigError(f"{SETTING}: {file} cannot be read: {error}") from None
    known = keys_in(before, str(file))
    after = before + ("" if before.endswith("\n") or not before else "\n") + entry_text(entry)
    try:
        whole = keys_in(after, str(file))
    except ConfigError:
        whole = KeyRing()
    if len(whole) != len(known) + 1:
        raise ConfigError(f"{file} is no list of one entry a line: add this by hand\n{entry_text(entry)}")
    return known, after


def _replace(file: Path, text: str, *, owners_alone: bool) -> None:
    """By another one of the same owner and, but where its owner alone is to read it from now on, of the same rights."""
    part = file.with_name(f".{file.name}.{os.getpid()}")
    like = file.stat() if file.exists() else None
    try:
        part.touch(0o666 if like is None and not owners_alone else _OWNERS_ALONE)
        part.write_text(text, encoding="utf-8")
        if like is not None:
            os.chown(part, like.st_uid, like.st_gid)
            if not owners_alone:
                part.chmod(stat.S_IMODE(like.st_mode))
        part.replace(file)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Nobody else adds to a file of the folder while the block runs."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


_EXAMPLE = KeyEntry.model_validate(
    {"id": "5f0c91d2a7b3", "name": "nightly", "scopes": ["submit"], "hash": "sha256:" + "0" * 64}
)


def _entry(number: int, value: object, file: str) -> KeyEntry:
    try:
        return KeyEntry.model_validate(value)
    except ValidationError as error:
        fault = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in fault["loc"])
        raise ConfigError(f"{SETTING}: {file}: entry {number}: {where + ': ' if where else ''}{fault['msg']}") from None
