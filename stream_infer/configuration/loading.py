"""File, then environment, then flags, then validation, then absolute paths."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pydantic import ValidationError

from stream_infer.configuration.complaints import Complaint, complaints_of, render
from stream_infer.configuration.cortex_yaml import from_cortex
from stream_infer.configuration.overrides import Merged, merge
from stream_infer.configuration.places import with_absolute_places
from stream_infer.configuration.yaml_text import Document, Listing, YamlFault, parse
from stream_infer.errors import ConfigError
from stream_infer.settings import Settings

DEFAULT_FILE = Path("stream-infer.yaml")


def load_settings(
    path: Path | None,
    environ: Mapping[str, str],
    overrides: Mapping[str, Any] = MappingProxyType({}),
    on_note: Callable[[str], None] = lambda _: None,
) -> Settings:
    """The settings of `path` (None: ./stream-infer.yaml), overridden by `environ`, and that by `overrides`.

    `environ`: names such as STREAM_INFER__KAFKA__BOOTSTRAP_SERVERS or, with an API's name or index,
    STREAM_INFER__APIS__IMAGE_CLASSIFIER__PARTITIONS; values are YAML. `overrides`: dotted keys such as
    `apis.image-classifier.workers.max`. Relative paths are looked up from the file's folder, wherever they were given.

    A list of APIs is a cortex.yaml, and is read as it is; `on_note` is told what of it is ignored on purpose.

    Raises ConfigError, whose message has a line for each thing that is wrong.
    """
    file = DEFAULT_FILE if path is None else path
    document = _read(file, is_default=path is None)
    if isinstance(document, Listing):
        document = _translated(document, str(file), on_note)
    merged = merge(document.values, environ, overrides)
    settings = _validated(merged, str(file), document)
    return with_absolute_places(settings, file.absolute().parent)


def load_definitions(path: Path, on_note: Callable[[str], None] = lambda _: None) -> list[dict[str, Any]]:
    """The entries of `apis` of a stream-infer.yaml or cortex.yaml, as they stand in the file: for another machine, so
    no environment changes them and no path is made absolute. Raises ConfigError."""
    document = _read(path, is_default=False)
    if isinstance(document, Listing):
        document = _translated(document, str(path), on_note)
    _validated(merge(document.values, {}, {}), str(path), document)
    entries: list[dict[str, Any]] = document.values.get("apis") or []
    return entries


def settings_of(
    values: dict[str, Any], folder: Path, environ: Mapping[str, str], overrides: Mapping[str, Any]
) -> Settings:
    """As `load_settings`, where no file says what `values` do. `folder` is absolute. Raises ConfigError."""
    merged = merge(values, environ, overrides)
    return with_absolute_places(_validated(merged, "the command line", Document(values, {})), folder)


def _translated(listing: Listing, file: str, on_note: Callable[[str], None]) -> Document:
    cortex = from_cortex(listing.entries, listing.lines)
    if cortex.complaints:
        raise ConfigError(render(cortex.complaints, file, listing.lines, {}))
    for note in cortex.notes:
        on_note(f"{file}: {note}")
    return cortex.document


def _read(file: Path, *, is_default: bool) -> Document | Listing:
    try:
        text = file.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        instead = "Write one there, or name another with -f FILE." if is_default else "Is the path right?"
        raise ConfigError(f"there is no configuration file {file.absolute()}. {instead}") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{file}: is not UTF-8: {error}") from None
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {error.strerror}") from None
    try:
        return parse(text)
    except YamlFault as fault:
        raise ConfigError(f"{file}:{fault}") from None


def _validated(merged: Merged, file: str, document: Document) -> Settings:
    complaints: list[Complaint] = list(merged.complaints)
    try:
        settings = Settings.model_validate(merged.values)
    except ValidationError as error:
        complaints += complaints_of(error, merged.values)
    if complaints:
        raise ConfigError(render(complaints, file, document.lines, merged.origins))
    return settings
