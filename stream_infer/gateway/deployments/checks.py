"""Whether an API can be deployed as somebody has defined it. Pure, but for reading an archive that is in memory."""

from __future__ import annotations

import gzip
import hashlib
import io
import posixpath
import tarfile
import zlib
from collections.abc import Mapping
from typing import IO, Any, cast

from pydantic import ValidationError

from stream_infer.definitions import UNPACKED, Definition, new_revision
from stream_infer.gateway.validation import validate
from stream_infer.http.json_text import MalformedJson, parse_json, to_json
from stream_infer.http.problems import FieldError, Problem, ProblemKind, hint
from stream_infer.predictor_settings import CortexPredictor, NativePredictor
from stream_infer.settings import MIB, ApiSettings, Settings

MOST_FILES = 20_000
# As JSON, which is a record that every role reads; patches add up.
LONGEST_DEFINITION = MIB // 4
# Of the JSON that a definition lies in: readers refuse what is nested beyond 200 levels in all.
_LEVELS_AROUND = 3
# Of all members' headers: names, and what pax and GNU have beside them, which is read whole before anybody can object.
_HEADER_BYTES = 64 * MIB
# A header behind a header behind a header … is a call in a call for Python's reader.
_BROKEN = (tarfile.TarError, EOFError, zlib.error, OSError, ValueError, RecursionError)


def merge_patch(target: Any, patch: Any) -> Any:
    """RFC 7396: null removes, objects go into each other, anything else takes the place of what was there."""
    if not isinstance(patch, Mapping):
        return patch
    merged = dict(target) if isinstance(target, Mapping) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = merge_patch(merged.get(name), value)
    return merged


def define(value: Any, code: str | None, settings: Settings, at: float) -> Definition:
    """`value`, the JSON that was sent, as a new revision. `settings`: all other APIs. Raises a Problem."""
    if not isinstance(value, dict):
        raise Problem(
            ProblemKind.INVALID_REQUEST, 'A definition is a JSON object such as {"name": …, "predictor": {…}}.'
        )
    api = validate(ApiSettings, value)
    _check_readable(value)
    _check_webhook(api)
    _check_code(api, has_code=code is not None)
    others = [one for one in settings.apis if one.name != api.name]
    try:  # the file's own rules: ports of replicas, secrets of webhooks
        Settings.model_validate({**dict(settings), "apis": [*others, api]})
    except ValidationError as error:
        raise refused("", error.errors(include_url=False)[0]["msg"].removeprefix("Value error, ")) from None
    return Definition(name=api.name, revision=new_revision(), definition=value, code=code, at=at)


def _check_readable(value: Any) -> None:
    """As whoever reads it from a record has it, and hands it on."""
    text = to_json(value)
    if len(text) > LONGEST_DEFINITION:
        detail = f"The definition would have more than {LONGEST_DEFINITION:,} bytes, the most that one may have."
        raise Problem(ProblemKind.TOO_LARGE, f"{detail} Put into a file of its code what is so much.")
    try:
        parse_json(b"[" * _LEVELS_AROUND + text + b"]" * _LEVELS_AROUND)
    except MalformedJson:
        raise refused(
            "", "it is nested too deeply to be read from a record; put into a file of its code what is"
        ) from None


def _check_webhook(api: ApiSettings) -> None:
    """What is on `{p}.apis` every role may read."""
    if api.webhook is not None and api.webhook.secrets:
        raise refused(
            "/webhook/secrets", "secrets do not belong into a definition; set webhooks.secrets in stream-infer.yaml"
        )


def code_file(api: ApiSettings) -> tuple[str, str] | None:
    """The pointer to what names a file of the predictor's code, and that file; None: none does."""
    predictor = api.predictor
    if isinstance(predictor, NativePredictor):
        file = predictor.target.rpartition(":")[0]
        return ("/predictor/target", file) if file.endswith(".py") else None
    if isinstance(predictor, CortexPredictor):
        return "/predictor/path", posixpath.join(str(predictor.project or ""), predictor.path)
    return None


def _check_code(api: ApiSettings, *, has_code: bool) -> None:
    named = code_file(api)
    if named is None:
        return
    pointer, file = named
    if file.startswith("/") or posixpath.normpath(file).split("/", 1)[0] == "..":
        raise refused(pointer, f"{file!r} lies outside of the code; name a file of it, seen from its root")
    if not has_code:
        raise refused(pointer, f"{file!r} is a file of the code, and there is no part `code`: send it as a tar.gz")


def check_archive(code: bytes, api: ApiSettings, code_bytes: int) -> str:
    """The SHA-256 of the archive; takes a while. Raises a Problem: it is none, unpacks to more than UNPACKED times
    `code_bytes`, or lacks the predictor's file."""
    files: set[str] = set()
    total = 0
    try:
        with (
            gzip.GzipFile(fileobj=io.BytesIO(code)) as unzipped,
            tarfile.open(fileobj=cast(IO[bytes], _Headers(unzipped)), mode="r:") as tar,
        ):
            for number, member in enumerate(tar, 1):
                total += member.size
                if number > MOST_FILES or total > code_bytes * UNPACKED:
                    detail = (
                        f"The code has more than {MOST_FILES:,} files or {code_bytes * UNPACKED:,} bytes, unpacked."
                    )
                    raise Problem(ProblemKind.TOO_LARGE, f"{detail} Keep data and models out of it.")
                files.add(posixpath.normpath(member.name))
    except _BROKEN as error:
        raise refused("", f"the part `code` is no tar.gz: {str(error)[:200]}") from None
    named = code_file(api)
    if named is not None and posixpath.normpath(named[1]) not in files:
        pointer, file = named
        sources = sorted(one for one in files if one.endswith(".py"))
        listed = f" It has {', '.join(sources[:10])}." if sources else " It has no Python file."
        raise refused(pointer, f"the code has no file {file!r}.{hint(file, sources)}{listed}")
    return hashlib.sha256(code).hexdigest()


class _Headers:
    """What a reader of an archive that unpacks nothing reads of it: passes over the rest, and ends at _HEADER_BYTES.

    Past bug: 3 MB of code had a header of 600 MB, which was held whole.
    """

    def __init__(self, file: gzip.GzipFile) -> None:
        self._file = file
        self._left = _HEADER_BYTES

    def read(self, size: int) -> bytes:
        self._left -= size
        if size < 0 or self._left < 0:
            raise ValueError(f"the headers of its members have more than {_HEADER_BYTES:,} bytes")
        return self._file.read(size)

    def seek(self, place: int) -> int:
        return self._file.seek(place)

    def tell(self) -> int:
        return self._file.tell()


def refused(pointer: str, detail: str) -> Problem:
    error = FieldError(pointer=pointer, detail=detail)
    said = f"{pointer}: {detail}" if pointer else f"{detail[:1].upper()}{detail[1:]}"
    return Problem(ProblemKind.INVALID_REQUEST, said, errors=[error])
