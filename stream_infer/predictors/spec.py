"""What a predictor is made from: plain values, so that they can be handed to the process that makes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class PredictorSpec:
    """A predictor's description. Cheap: nothing is imported or read until the child process loads it.

    `type`: `native`, `torchvision`, `cortex`, `sagemaker`, `plugin`, or `unprepared`, whose `target` says why there is
    none. `target`: for native `path/to/file.py:ClassName` or `package.module:ClassName`, for torchvision the model's
    name, for cortex and sagemaker the file of its code, for plugin its name. `weights`: a file or folder, which a
    native class and a plugin find as `config["model"]`; for torchvision a file, `package://NAME/path`, or a name of
    torchvision's own such as `DEFAULT`; for sagemaker the folder of the model. The rest of `config` is given to the
    predictor's constructor as it is, `options` to the adapter. Relative paths are looked up below `directory` (None:
    the working directory).

    `python`: the interpreter that has what it needs (None: ours); `path`: where it finds modules before anywhere else.
    """

    type: str
    target: str
    config: Mapping[str, Any] = field(default_factory=dict)
    weights: str | None = None
    directory: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    python: str | None = None
    path: tuple[str, ...] = ()
