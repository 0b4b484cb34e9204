"""Projects that tests deploy: files in a folder, an archive of them, a wheel that no index has."""

import base64
import gzip
import hashlib
import io
import json
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import urllib3


def archive(files: Mapping[str, bytes]) -> bytes:
    """A tar.gz; the same for the same files."""
    packed = io.BytesIO()
    with gzip.GzipFile(fileobj=packed, mode="wb", mtime=0) as gz, tarfile.open(fileobj=gz, mode="w") as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return packed.getvalue()


def deployment_form(definition: Any, code: bytes | None) -> tuple[bytes, str]:
    """A body, and its content type."""
    parts: dict[str, Any] = {"definition": ("definition.json", json.dumps(definition), "application/json")}
    if code is not None:
        parts["code"] = ("code.tar.gz", code, "application/gzip")
    return urllib3.encode_multipart_formdata(parts)


def wheel(name: str, source: str) -> tuple[str, bytes]:
    """A wheel of one module: its file's name, and its bytes."""
    info = f"{name}-1.0.dist-info"
    files = {
        f"{name}.py": source,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    lines = [f"{file},sha256={_digest(text)},{len(text)}" for file, text in files.items()]
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archived:
        for file, text in files.items():
            archived.writestr(file, text)
        archived.writestr(f"{info}/RECORD", "\n".join([*lines, f"{info}/RECORD,,", ""]))
    return f"{name}-1.0-py3-none-any.whl", packed.getvalue()


def write_project(folder: Path, files: Mapping[str, str | bytes]) -> Path:
    for name, content in files.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content.encode() if isinstance(content, str) else content)
    return folder


def _digest(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
