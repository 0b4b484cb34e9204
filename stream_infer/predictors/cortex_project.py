"""What Cortex gives a predictor besides its arguments: its folder, its variables, its imports. Runs in the child."""

from __future__ import annotations

import importlib.util
import logging
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

from stream_infer.errors import PredictorUnavailable
from stream_infer.predictors.finding import import_file

# Cortex's own loggers, by the module and the name that predictors import them by.
_LOGGERS = {"cortex_internal.lib.log": "logger", "cortex.lib.log": "cx_logger"}


def import_predictor(path: str, project: Path, python_path: str | None, env: Mapping[str, str]) -> ModuleType:
    """The predictor's module. From here on this process is in `project`, with its variables and its imports.

    Raises PredictorUnavailable.
    """
    if not project.is_dir():
        raise PredictorUnavailable(f"predictor {path}: there is no folder {project}; predictor.project names it")
    os.environ.update(_variables(project / ".env"))
    os.environ.update(env)
    for folder in (str(project), python_path):
        if folder is not None and folder not in sys.path:
            sys.path.insert(0, folder)
    os.chdir(project)
    _offer_loggers()
    return import_file(path, project, path)


def _variables(file: Path) -> dict[str, str]:
    """`NAME=value` a line; what is none is passed over, as comments are."""
    if not file.is_file():
        return {}
    found: dict[str, str] = {}
    for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
        name, equals, value = line.strip().removeprefix("export ").partition("=")
        if equals and name.isidentifier():
            found[name] = value.strip().strip("'\"")
    return found


def _offer_loggers() -> None:
    """Code that logs with Cortex's logger goes on doing so, in this process' log. A real `cortex` package wins."""
    for place, attribute in _LOGGERS.items():
        top = place.partition(".")[0]
        if top in sys.modules or importlib.util.find_spec(top) is not None:
            continue
        parts = place.split(".")
        for end in range(1, len(parts) + 1):
            name = ".".join(parts[:end])
            module = sys.modules.setdefault(name, ModuleType(name))
            if end > 1:
                setattr(sys.modules[".".join(parts[: end - 1])], parts[end - 1], module)
        setattr(sys.modules[place], attribute, logging.getLogger("cortex"))
