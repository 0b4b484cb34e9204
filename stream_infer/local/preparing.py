"""An API that was deployed made ready on this machine: its code, its environment, and whether it can be imported."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

from pydantic import BaseModel, ConfigDict

from connectors.code import code_folder
from stream_infer.configuration.places import api_in
from stream_infer.definitions import UNPACKED, Definition, code_key
from stream_infer.engine.configured import predictor_spec
from stream_infer.engine.trial import require_importable
from stream_infer.errors import PredictorUnavailable
from stream_infer.local.environments import environment_for
from stream_infer.ports import Store
from stream_infer.predictors.spec import PredictorSpec
from stream_infer.settings import Settings

Localise: TypeAlias = Callable[[PredictorSpec], PredictorSpec]
"""A spec with its model on this machine. May block. Raises PredictorUnavailable or ServiceUnavailable."""


class Prepared(BaseModel):
    """What there is to serve a definition with: the `folder` of its code, and the `python` of its environment, where it
    has any. `failure`: why it cannot be served."""

    model_config = ConfigDict(frozen=True)

    definition: Definition
    folder: str | None = None
    python: str | None = None
    failure: str | None = None

    def write(self, file: Path) -> None:
        """The file is there whole or not at all."""
        file.parent.mkdir(parents=True, exist_ok=True)
        part = file.with_name(f".{file.name}.{os.getpid()}")
        part.write_text(self.model_dump_json())
        part.replace(file)

    def spec(self, localise: Localise) -> PredictorSpec:
        """Of its predictor; where there is none, of one that says why. Raises ServiceUnavailable."""
        try:
            return self._spec(localise)
        except PredictorUnavailable as error:
            return PredictorSpec("unprepared", str(error))

    def _spec(self, localise: Localise) -> PredictorSpec:
        if self.failure is not None:
            raise PredictorUnavailable(self.failure)
        api = self.definition.api if self.folder is None else api_in(self.definition.api, Path(self.folder))
        path = () if self.folder is None else (self.folder,)
        return replace(localise(predictor_spec(api.predictor)), python=self.python, path=path)

    def require_importable(self, localise: Localise) -> None:
        """Raises PredictorUnavailable or ServiceUnavailable."""
        spec = self._spec(localise)
        if spec.type != "torchvision":  # nobody's code
            require_importable(spec, self.definition.api.batching.load_timeout)


def read_prepared(file: Path) -> Prepared:
    """Raises ValueError or OSError."""
    return Prepared.model_validate_json(file.read_bytes())


def prepare(
    definition: Definition, settings: Settings, store: Store, localise: Localise, say: Callable[[str], None]
) -> Prepared:
    """Whatever is wrong with it is its `failure`. Blocks for as long as its requirements take; `say` is told each line
    of what installs them. Raises ServiceUnavailable."""
    home, prepared = settings.state_dir / "apis", Prepared(definition=definition)
    most = settings.limits.code_bytes * UNPACKED
    try:
        if definition.code is not None:
            key = code_key(definition.code)
            folder = code_folder(definition.code, lambda: _fetched(store, key), home / "code", most)
            prepared = prepared.model_copy(update={"folder": str(folder)})
            python = environment_for(folder, home / "environments", say)
            prepared = prepared.model_copy(update={"python": python})
        prepared.require_importable(localise)
    except PredictorUnavailable as error:
        said = str(error) if prepared.folder is None else str(error).replace(f"{prepared.folder}/", "")
        return prepared.model_copy(update={"failure": said})
    return prepared


def _fetched(store: Store, key: str) -> bytes:
    try:
        return store.get(key)
    except KeyError:
        raise PredictorUnavailable(
            f"its code is not in the store any more ({store.uri(key)}): deploy it again"
        ) from None
