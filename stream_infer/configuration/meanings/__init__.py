"""What each key of stream-infer.yaml is for: the catalogue that docs/configuration.md and the JSON Schema are made of.

By the model that has the key, as Markdown for docs/. A key without a meaning, and a meaning without a key, fail a test.
"""

from __future__ import annotations

from stream_infer.configuration.meanings.meanings import Meanings
from stream_infer.configuration.meanings.of_apis import APIS
from stream_infer.configuration.meanings.of_predictors import PREDICTORS
from stream_infer.configuration.meanings.of_roles import ROLES

MEANINGS: Meanings = {**ROLES, **PREDICTORS, **APIS}

__all__ = ["MEANINGS", "Meanings"]
