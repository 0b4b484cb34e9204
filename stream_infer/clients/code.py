"""The code of an API, as the archive that the gateway takes: a project's folder, or a class, and what it requires."""

from __future__ import annotations

import gzip
import io
import os
import sys
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import decode_source
from pathlib import Path

from stream_infer.clients.class_source import source_of_class
from stream_infer.clients.project import project_files, read_file
from stream_infer.errors import UsageError

REQUIREMENTS = "requirements.txt"
ENTRY, PICKLE = "generated_predictor.py", "generated_predictor.pickle"
_OF_A_NOTEBOOK = '''"""The class {name}, as it was made in a notebook. Written by stream_infer."""

import pickle
import sys
from pathlib import Path

if sys.version_info[:2] != {version}:
    raise ImportError(
        "{name} was made in a notebook by Python {version[0]}.{version[1]}, and this is Python "
        + ".".join(map(str, sys.version_info[:2]))
        + ": use the same in both places, or write the class into a file, which fits any"
    )
{name} = pickle.loads(Path(__file__).with_name("{pickle}").read_bytes())
'''


@dataclass(frozen=True, slots=True)
class Code:
    """`archive` is a tar.gz; `file` and `name` say where in it the class is, None where none was given."""

    archive: bytes | None
    file: str | None = None
    name: str | None = None

    @property
    def target(self) -> str | None:
        return None if self.file is None else f"{self.file}:{self.name}"


def code_of(predictor: type | None, requirements: Sequence[str], project_dir: str | os.PathLike[str] | None) -> Code:
    """The same for the same code, byte for byte. Raises UsageError.

    A class is written as source wherever it was written as such: the file of its module, the folder of its package, or,
    of a program that runs (`__main__`), the class with what it refers to there. That fits any version of Python. Only
    one from a notebook is pickled, and fits the version that it was made by.
    """
    if isinstance(requirements, str):
        raise UsageError(f"requirements are a list, each as in a requirements.txt; this is the text {requirements!r}")
    files = {} if project_dir is None else dict(project_files(Path(project_dir).expanduser()))
    file = name = None
    if predictor is not None:
        if not isinstance(predictor, type):
            raise UsageError(f"predictor is a class, not one of its instances: give type({predictor!r}) or its name")
        name = predictor.__name__
        file, brought = _class_files(predictor, None if project_dir is None else Path(project_dir).expanduser())
        files |= brought
    if requirements:
        own = files.get(REQUIREMENTS, b"").rstrip()
        files[REQUIREMENTS] = b"\n".join([*([own] if own else []), *(line.encode() for line in requirements), b""])
    return Code(_packed(files) if files else None, file, name)


def _class_files(cls: type, project: Path | None) -> tuple[str, Mapping[str, bytes]]:
    """Where the class is, seen from the archive's root, and the files that bring it there."""
    if "." in cls.__qualname__:
        raise UsageError(f"{cls.__qualname__} is defined within something else; define it at the top of its file")
    module = sys.modules.get(cls.__module__)
    file = Path(str(getattr(module, "__file__", None) or "")).resolve()
    if cls.__module__ == "__main__":
        # What is typed in, in a notebook or behind a program that was run, stands in no file.
        text = decode_source(read_file(file)) if file.is_file() else ""
        source = source_of_class(text, cls.__name__, file.name)
        return ENTRY, _pickled(cls) if source is None else {ENTRY: source.encode()}
    if file.suffix != ".py" or not file.is_file():
        raise UsageError(f"{cls.__name__} is one of {cls.__module__}, which is no Python file: give a class of yours")
    if project is not None and file.is_relative_to(project.resolve()):
        return file.relative_to(project.resolve()).as_posix(), {}
    return _module_files(cls, file)


def _module_files(cls: type, file: Path) -> tuple[str, Mapping[str, bytes]]:
    """A module by itself is its file; one in a package brings the whole of that, since it may import its neighbours."""
    package, _, rest = cls.__module__.partition(".")
    if not rest and file.name != "__init__.py":
        return file.name, {file.name: read_file(file)}
    depth = cls.__module__.count(".") + (file.name == "__init__.py")
    folder = file.parents[max(depth - 1, 0)]
    files = {f"{package}/{name}": data for name, data in project_files(folder)}
    line = f"from {cls.__module__} import {cls.__name__}\n\n__all__ = [{cls.__name__!r}]\n"
    return ENTRY, {**files, ENTRY: line.encode()}


def _pickled(cls: type) -> Mapping[str, bytes]:
    try:
        import cloudpickle
    except ImportError as error:
        raise UsageError(
            f"{cls.__name__} was made in a notebook, and sending it needs cloudpickle: pip install cloudpickle"
        ) from error
    version = sys.version_info[:2]
    text = _OF_A_NOTEBOOK.format(name=cls.__name__, version=tuple(version), pickle=PICKLE)
    return {ENTRY: text.encode(), PICKLE: cloudpickle.dumps(cls)}


def _packed(files: Mapping[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=packed, mode="wb", mtime=0) as zipped,
        tarfile.open(fileobj=zipped, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        for name in sorted(files):
            member = tarfile.TarInfo(name)
            member.size = len(files[name])
            archive.addfile(member, io.BytesIO(files[name]))
    return packed.getvalue()
