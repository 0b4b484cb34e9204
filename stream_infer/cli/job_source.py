"""From the arguments of `submit` to a job's spec. No I/O but for looking whether local paths are there."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from stream_infer.errors import UsageError


def source_of(
    items: Sequence[str], file: str | None, directory: str | None, includes: Sequence[str], excludes: Sequence[str]
) -> dict[str, Any]:
    """The spec's one source. Raises UsageError."""
    given = [name for name, value in (("ITEM", items), ("--file", file), ("--dir", directory)) if value]
    if len(given) != 1:
        got = " and ".join(given) or "none of them"
        raise UsageError(f"give a job its items either as ITEM… or by --file or by --dir; this one has {got}")
    if directory is None and (includes or excludes):
        raise UsageError("--include and --exclude choose files of a --dir; this job has none")
    if file is not None:
        return {"jsonl": {"uri": place_of(file)}}
    if directory is not None:
        if not Path(directory).expanduser().is_dir():
            raise UsageError(f"--dir {directory} is not a directory of this machine")
        return {"directory": {"path": place_of(directory), "includes": list(includes), "excludes": list(excludes)}}
    return {"item_list": {"items": [item_of(text) for text in items]}}


def place_of(text: str) -> str:
    """s3:// and file:// as they are; a path as the absolute file:// URI it means here."""
    if text.startswith(("s3://", "file://")):
        return text
    path = Path(text).expanduser().absolute()
    if not path.exists():
        raise UsageError(f"{text} is not there (looked for {path})")
    return path.as_uri()


def lines_that_allow(spec: Mapping[str, Any], refusal: str) -> str | None:
    """What to add to stream-infer.yaml where `refusal` says that the source of `spec` is not allowed; else None."""
    is_file = "jsonl" in spec
    place = str(spec["jsonl"]["uri"] if is_file else spec.get("directory", {}).get("path", ""))
    if "fetch.allowed_s3_prefixes" in refusal:
        setting, allowed = "allowed_s3_prefixes", place.rpartition("/")[0]
    elif "fetch.allowed_directories" in refusal:
        path = Path(unquote(urlsplit(place).path) if place.startswith("file://") else place)
        setting, allowed = "allowed_directories", str(path.parent if is_file else path)
    else:
        return None
    return (
        "These lines in stream-infer.yaml allow it, from the next start of `up` on (where the list is there already, "
        f"add to it):\n\n    fetch:\n      {setting}:\n        - {json.dumps(allowed, ensure_ascii=False)}\n"
    )


def item_of(text: str) -> Any:
    """JSON as its value, other text as a string; text that sets out to be JSON and is not is an error."""
    try:
        return json.loads(text)
    except ValueError as error:
        if text.lstrip().startswith(("{", "[", '"')):
            raise UsageError(f"the item {text[:60]!r} is not JSON: {error}") from None
        return text


def config_of(pairs: Sequence[str]) -> dict[str, Any]:
    """`k=v` pairs; a value that is JSON is its value, other text a string. Raises UsageError."""
    config: dict[str, Any] = {}
    for pair in pairs:
        name, sign, value = pair.partition("=")
        if not sign or not name:
            raise UsageError(f"--config {pair!r} is not KEY=VALUE")
        config[name] = item_of(value)
    return config
