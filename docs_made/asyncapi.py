"""docs/asyncapi.yaml: the topics of an installation with one API, as its gateway describes them at `/asyncapi.json`."""

from __future__ import annotations

import yaml

from stream_infer.gateway.asyncapi import asyncapi_document
from stream_infer.settings import Settings

SETTINGS = Settings.model_validate(
    {"apis": [{"name": "my-api", "predictor": {"type": "native", "target": "model.py:Model"}}]}
)


def document() -> str:
    written = yaml.dump(asyncapi_document(SETTINGS), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)
    return f"# Made by: python -m docs_made\n{written}"


class _Dumper(yaml.SafeDumper):
    """Writes everything out: an anchor is hard to read, and not every tool knows them."""

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002 - of the base class
        return True
