"""From the arguments of `submit` to a job's spec. No I/O but for looking whether local paths are there."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stream_infer.clients.given import FILES, path_in
from stream_infer.errors import UsageError


@dataclass(frozen=True, slots=True)
class Choice:
    """What `submit` was given of a source, option by option."""

    items: Sequence[str] = ()
    file: str | None = None
    directory: str | None = None
    csv: str | None = None
    parquet: str | None = None
    tar: str | None = None
    requests: str | None = None
    s3_prefix: str | None = None
    manifest: str | None = None
    file_paths: Sequence[str] = ()
    delimited_files: Sequence[str] = ()
    plugin: str | None = None
    includes: Sequence[str] = ()
    excludes: Sequence[str] = ()
    split_lines: bool = False
    gzip: bool = False
    content_type: str | None = None

    def sources(self) -> dict[str, object]:
        """By what they are called on the command line."""
        return {
            "ITEM": self.items,
            "--file": self.file,
            "--dir": self.directory,
            "--csv": self.csv,
            "--parquet": self.parquet,
            "--tar": self.tar,
            "--requests": self.requests,
            "--s3-prefix": self.s3_prefix,
            "--manifest": self.manifest,
            "--file-paths": self.file_paths,
            "--delimited-files": self.delimited_files,
            "--plugin": self.plugin,
        }


def source_of(choice: Choice) -> dict[str, Any]:
    """The spec's one source. Raises UsageError."""
    given = [name for name, value in choice.sources().items() if value]
    if len(given) != 1:
        got = " and ".join(given) or "none of them"
        names = " or ".join(name for name in choice.sources() if name != "ITEM")
        raise UsageError(f"give a job its items either as ITEM… or by {names}; this one has {got}")
    [name] = given
    _check_applies(choice, name)
    globs = {"includes": list(choice.includes), "excludes": list(choice.excludes)}
    match name:
        case "ITEM":
            return {"item_list": {"items": [item_of(text) for text in choice.items]}}
        case "--file":
            return {"jsonl": {"uri": place_of(str(choice.file))}}
        case "--dir":
            directory = str(choice.directory)
            if not Path(directory).expanduser().is_dir():
                raise UsageError(f"--dir {directory} is not a directory of this machine")
            return {"directory": {"path": place_of(directory), **globs}}
        case "--csv" | "--parquet" | "--requests":
            return {name[2:]: {"uri": place_of(str(choice.csv or choice.parquet or choice.requests))}}
        case "--tar":
            return {"tar": {"uri": place_of(str(choice.tar)), **globs}}
        case "--s3-prefix":
            return {"s3_prefix": {"uri": str(choice.s3_prefix), **globs, **_content(choice)}}
        case "--manifest":
            return {"manifest": {"uri": place_of(str(choice.manifest)), **_content(choice)}}
        case "--plugin":
            return {"plugin": _plugin(str(choice.plugin))}
        case "--file-paths":
            return {"file_path_lister": {"s3_paths": list(choice.file_paths), **globs}}
        case _:
            return {"delimited_files": {"s3_paths": list(choice.delimited_files), **globs}}


def _check_applies(choice: Choice, name: str) -> None:
    if (choice.includes or choice.excludes) and name not in (
        "--dir",
        "--tar",
        "--s3-prefix",
        "--file-paths",
        "--delimited-files",
    ):
        raise UsageError(
            "--include and --exclude choose files of a --dir, --tar, --s3-prefix, --file-paths or --delimited-files; "
            f"this job has {name}"
        )
    if (choice.split_lines or choice.gzip or choice.content_type) and name not in ("--s3-prefix", "--manifest"):
        raise UsageError(
            f"--split-lines, --gzip and --content-type are about objects of a --s3-prefix or --manifest; "
            f"this job has {name}"
        )


def _plugin(text: str) -> dict[str, Any]:
    """NAME, or NAME={"key": value}."""
    name, sign, config = text.partition("=")
    try:
        value = json.loads(config) if sign else {}
    except ValueError as error:
        raise UsageError(f"--plugin {name}=…: its config is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise UsageError(f'--plugin {name}=…: its config is a JSON object, such as {{"key": "value"}}')
    return {"name": name, "config": value}


def _content(choice: Choice) -> dict[str, str]:
    content = {"split": "line"} if choice.split_lines else {}
    if choice.gzip:
        content["compression"] = "gzip"
    if choice.content_type:
        content["content_type"] = choice.content_type
    return content


def place_of(text: str) -> str:
    """s3:// and file:// as they are; a path as the absolute file:// URI it means here."""
    if text.startswith(("s3://", "file://", "upload:")):
        return text
    path = Path(text).expanduser().absolute()
    if not path.exists():
        raise UsageError(f"{text} is not there (looked for {path})")
    return path.as_uri()


def lines_that_allow(spec: Mapping[str, Any], refusal: str) -> str | None:
    """What to add to stream-infer.yaml where `refusal` says that the source of `spec` is not allowed; else None."""
    places = _places(spec)
    place = next((place for place in places if place in refusal), places[0] if places else "")
    if place.startswith("s3://") and "fetch.allowed_s3_prefixes" in refusal:
        setting, allowed = "allowed_s3_prefixes", place.rpartition("/")[0]
    elif place and not place.startswith("s3://") and "fetch.allowed_directories" in refusal:
        path = path_in(place)
        setting, allowed = "allowed_directories", str(path if "directory" in spec else path.parent)
    else:
        return None
    return (
        "These lines in stream-infer.yaml allow it, from the next start of `up` on (where the list is there already, "
        f"add to it):\n\n    fetch:\n      {setting}:\n        - {json.dumps(allowed, ensure_ascii=False)}\n"
    )


def _places(spec: Mapping[str, Any]) -> list[str]:
    """Every address that the source of `spec` names."""
    source: Mapping[str, Any] = next((spec[name] for name in _NAMING if name in spec), {})
    return [str(place) for place in (source.get("uri"), source.get("path"), *source.get("s3_paths", ())) if place]


_NAMING = (*FILES, "directory", "s3_prefix", "file_path_lister", "delimited_files")


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
