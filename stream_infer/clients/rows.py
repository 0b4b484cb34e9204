"""A job's results and failures, line by line: what a line says, and where lines are gathered. No requests in here."""

from __future__ import annotations

import json
import mimetypes
import os
import re
from base64 import b64decode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO, Generic, Self, TypeVar

from stream_infer.errors import UsageError

if TYPE_CHECKING:
    import pandas as pd

_JSON = "application/json"
_NO_NAME = re.compile(r"[^A-Za-z0-9._-]+")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Result:
    """What came of an item. `output` is a JSON value, or the bytes of anything else, which `content_type` names.

    `custom_id`, `key` and `source` are None where the item has none.
    """

    item_id: str
    output: Any
    content_type: str = _JSON
    custom_id: str | None = None
    key: Any = None
    source: str | None = None


@dataclass(frozen=True, slots=True)
class Failure:
    """An item that failed: at its `stage`, by an exception and what that said, the `attempt` that was the last."""

    item_id: str
    stage: str
    exception: str
    message: str
    attempt: int
    custom_id: str | None = None
    key: Any = None
    source: str | None = None


@dataclass(frozen=True, slots=True)
class Kind(Generic[R]):
    """Of what the lines are: `read` makes a row of one, `name` is that of their file."""

    name: str
    read: Callable[[Mapping[str, Any]], R]


def _result(line: Mapping[str, Any]) -> Result:
    return Result(
        item_id=line.get("item_id", ""),
        output=_output(line),
        content_type=line.get("content_type", _JSON),
        custom_id=line.get("custom_id"),
        key=line.get("key"),
        source=line.get("source"),
    )


def _failure(line: Mapping[str, Any]) -> Failure:
    error = line.get("error") or {}
    return Failure(
        item_id=line.get("item_id", ""),
        stage=error.get("stage", ""),
        exception=error.get("exception", ""),
        message=error.get("message", ""),
        attempt=line.get("attempt", 1),
        custom_id=line.get("custom_id"),
        key=line.get("key"),
        source=line.get("source"),
    )


RESULTS = Kind("results", _result)
FAILURES = Kind("failures", _failure)


def _output(line: Mapping[str, Any]) -> Any:
    output = line.get("output")
    return output if (found := _packed(line)) is None else found


def _packed(line: Mapping[str, Any]) -> bytes | None:
    """The bytes that no JSON could hold; None where the output is JSON."""
    output = line.get("output")
    if "content_type" in line and isinstance(output, dict) and output.keys() == {"base64", "content_type"}:
        return b64decode(output["base64"])
    return None


class FrameMaker:
    """Gathers lines into a pandas DataFrame, a row each: the members of an output or an error are columns of their own
    (`output.label`)."""

    def __init__(self) -> None:
        self._lines: list[dict[str, Any]] = []

    def take(self, raw: bytes) -> None:
        line = json.loads(raw)
        packed = _packed(line)
        self._lines.append(line if packed is None else {**line, "output": packed})

    def frame(self) -> pd.DataFrame:
        """Raises UsageError where pandas is not installed."""
        try:
            import pandas as pd
        except ImportError as error:
            raise UsageError("a DataFrame needs pandas: pip install pandas") from error
        return pd.json_normalize(self._lines, max_level=1)


class FolderWriter(Generic[R]):
    """Writes lines into `folder`: `results.jsonl`, and beside it a file for each output that is not JSON, which its
    line names as `file` in place of the output.

    As a context: the file of lines is there whole or not at all.
    """

    def __init__(self, folder: str | os.PathLike[str], kind: Kind[R]) -> None:
        self._folder = Path(folder).expanduser()
        self._kind = kind
        self._partial = self._folder / f".{kind.name}.{os.getpid()}.part"
        self._file: BinaryIO | None = None
        self.path = self._folder / f"{kind.name}.jsonl"

    def __enter__(self) -> Self:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._file = self._partial.open("wb")
        except OSError as error:
            raise self._unwritable(error) from error
        return self

    def take(self, raw: bytes) -> None:
        assert self._file is not None
        try:
            if b'"base64"' in raw:
                raw = self._beside(raw)
            self._file.write(raw)
        except OSError as error:
            raise self._unwritable(error) from error

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._file is not None
        try:
            self._file.close()
            if error is None:
                self._partial.replace(self.path)
        except OSError as failed:
            raise self._unwritable(failed) from failed
        finally:
            self._partial.unlink(missing_ok=True)

    def _beside(self, raw: bytes) -> bytes:
        """The line with the name of a file, which has the output; as it is where the output is JSON."""
        line = json.loads(raw)
        packed = _packed(line)
        if packed is None:
            return raw
        name = file_name(line)
        (self._folder / name).write_bytes(packed)
        del line["output"]
        return json.dumps({**line, "file": name}, ensure_ascii=False).encode() + b"\n"

    def _unwritable(self, error: OSError) -> UsageError:
        return UsageError(f"{self.path} cannot be written: {error.strerror or error}")


def file_name(line: Mapping[str, Any]) -> str:
    """As objects of the format `per-item` are called: by custom id or source, then the item's place in the job."""
    named = str(line.get("custom_id") or "") or _stem(str(line.get("source") or "")) or "item"
    ordinal = str(line.get("item_id", "")).rpartition("-")[2]
    ending = mimetypes.guess_extension(str(line.get("content_type", "")).partition(";")[0].strip()) or ".bin"
    return _NO_NAME.sub("_", f"{named[:100]}-{ordinal}{ending}").lstrip(".")


def _stem(source: str) -> str:
    return source.partition("#")[0].rpartition("/")[2].rpartition("!")[2].rpartition(".")[0]
