"""The functions of a model's code/ folder, found and called as SageMaker's inference toolkit does."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from types import ModuleType
from typing import Any

from stream_infer.errors import PredictorUnavailable
from stream_infer.predictors.finding import run_file, said

CODE = "code"
_REQUIREMENTS = "requirements.txt"
_REQUIREMENT = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)")


@dataclass(slots=True)
class Context:
    """What functions that take one more argument than they need are given: the request at hand, and where the model is.

    The container gives its model server's; this has the parts of it that the toolkit's documentation names.
    """

    system_properties: Mapping[str, Any]
    headers: dict[str, str] = field(default_factory=dict)
    content_type: str | None = None

    def begin(self, headers: dict[str, str]) -> None:
        """Of the next request."""
        self.headers, self.content_type = headers, None

    @property
    def request_processor(self) -> list[Context]:
        return [self]

    def get_request_properties(self) -> dict[str, str]:
        return dict(self.headers)

    def get_request_header(self, _index: int, name: str) -> str | None:
        return next((value for key, value in self.headers.items() if key.lower() == name.lower()), None)

    def get_all_request_header(self, _index: int) -> dict[str, str]:
        return dict(self.headers)

    def set_response_content_type(self, _index: int, value: str) -> None:
        self.content_type = value


class Functions:
    """The user's functions, and the defaults for those that are missing, which `defaults` answers by name."""

    def __init__(
        self, module: ModuleType | None, defaults: Callable[[str], Callable[..., Any]], context: Context
    ) -> None:
        self._module = module
        self._defaults = defaults
        self._context = context
        self.model = self._function("model_fn", 1)
        self.before_model = self._optional("pre_model_fn", 1)
        self.after_model = self._optional("model_warmup_fn", 2)
        own = [name for name in ("input_fn", "predict_fn", "output_fn") if self._own(name) is not None]
        if self._own("transform_fn") is not None:
            if own:
                raise PredictorUnavailable(
                    f"{self._name} has transform_fn and {own[0]}: the container takes one or the other"
                )
            self.transform = self._function("transform_fn", 4)
        else:
            self._input = self._function("input_fn", 2)
            self._predict = self._function("predict_fn", 2)
            self._output = self._function("output_fn", 2)
            self.transform = self._in_three_steps

    @property
    def has_own_input(self) -> bool:
        return self._own("input_fn") is not None or self._own("transform_fn") is not None

    def _in_three_steps(self, model: Any, body: Any, content_type: str, accept: str) -> Any:
        return self._output(self._predict(self._input(body, content_type), model), accept)

    @property
    def _name(self) -> str:
        return Path(self._module.__file__ or "").name if self._module else ""

    def _own(self, name: str) -> Any:
        return None if self._module is None else getattr(self._module, name, None)

    def _optional(self, name: str, count: int) -> Callable[..., Any] | None:
        return None if self._own(name) is None else self._function(name, count)

    def _function(self, name: str, count: int) -> Callable[..., Any]:
        """Called with `count` arguments; one that takes another is given the context there."""
        own = self._own(name)
        if own is None:
            return self._defaults(name)
        if not callable(own):
            raise PredictorUnavailable(f"{name} of {self._name} is a {type(own).__name__}, not a function")
        try:
            takes = len(inspect.signature(own).parameters)
        except ValueError:  # a function in C without a signature
            takes = count
        if takes == count:
            return own  # type: ignore[no-any-return]
        if takes == count + 1:
            return lambda *arguments: own(*arguments, self._context)
        raise PredictorUnavailable(
            f"{name} of {self._name} takes {takes} arguments; it gets {count}, or {count + 1} with the context"
        )


def import_program(model_dir: Path, program: str, *, is_required: bool) -> ModuleType | None:
    """The entry point in code/, its neighbours importable; None where there is none. Raises PredictorUnavailable."""
    code = model_dir / CODE
    path = code / (program if program.endswith(".py") else f"{program}.py")
    if not path.is_file():
        if is_required:
            raise PredictorUnavailable(f"the entry point {program} is not there: looked for {path}")
        return None
    try:
        return run_file(path, code, "sagemaker")
    except ModuleNotFoundError as error:
        raise PredictorUnavailable(_missing(path, code / _REQUIREMENTS, error)) from error
    except (Exception, SystemExit) as error:
        raise PredictorUnavailable(f"{path} cannot be imported: {said(error)}") from error


def unmet_requirements(model_dir: Path) -> list[str]:
    """The lines of code/requirements.txt that ask for what is not installed here at all, whatever its version."""
    path = model_dir / CODE / _REQUIREMENTS
    if not path.is_file():
        return []
    lines = [line.partition("#")[0].strip() for line in path.read_text(errors="replace").splitlines()]
    return [line for line in lines if (match := _REQUIREMENT.match(line)) and not _is_installed(match[1])]


def _is_installed(name: str) -> bool:
    try:
        distribution(name)
    except PackageNotFoundError:
        return False
    return True


def _missing(path: Path, requirements: Path, error: ModuleNotFoundError) -> str:
    what = f"{path} cannot be imported: {error.name or error} is not installed here"
    if not requirements.is_file():
        return f"{what}. Install it beside stream-infer, or put it into {CODE}/"
    return (
        f"{what}. stream-infer does not install a model's requirements: "
        f"run `{sys.executable} -m pip install -r {requirements}`, or build an image with them"
    )
