"""Deploying an API to a gateway that runs: its definition and its code, and waiting until it is live."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

from stream_infer.clients import calls
from stream_infer.clients.call import Call, Part
from stream_infer.clients.code import Code, code_of
from stream_infer.clients.errors import ApiFailed
from stream_infer.clients.steps import Steps, ask
from stream_infer.clients.waiting import until
from stream_infer.definitions import ApiState
from stream_infer.errors import UsageError
from stream_infer.gateway.api_bodies import ApiBody

DEPLOY_TIMEOUT_S = 1800.0


def deployment(
    api_spec: Mapping[str, Any],
    predictor: type | None,
    requirements: Sequence[str],
    project_dir: str | os.PathLike[str] | None,
) -> tuple[str, Mapping[str, Part]]:
    """The API's name, and the form that deploys it. Raises UsageError."""
    name = api_spec.get("name")
    if not isinstance(name, str) or not name:
        raise UsageError('api_spec has no name: {"name": "my-api", "predictor": {…}}')
    code = code_of(predictor, requirements, project_dir)
    try:
        definition = json.dumps(_definition(api_spec, code), allow_nan=False).encode()
    except (TypeError, ValueError) as error:
        raise UsageError(f"api_spec is no JSON: {error}") from error
    form = {"definition": Part(definition, "application/json")}
    if code.archive is not None:
        form["code"] = Part(code.archive, "application/gzip", filename="code.tar.gz")
    return name, form


def _definition(api_spec: Mapping[str, Any], code: Code) -> dict[str, Any]:
    """`api_spec` with the place of the class in its code, which is what the predictor's type calls it."""
    given = dict(api_spec.get("predictor") or {})
    given.setdefault("type", "native")
    if code.target is not None:
        given |= {"path": code.file} if given["type"] == "cortex" else {"target": code.target}
    return {**api_spec, "predictor": given}


def deployed(change: Call[ApiBody], *, wait: bool, timeout_s: float | None) -> Steps[ApiBody]:
    """The API once `change` is made; with `wait`, once that can be used. Raises ApiFailed where it cannot."""
    body = yield from ask(change)
    if wait and body.state is ApiState.PREPARING:
        body = yield from until(
            calls.api(body.name),
            lambda found: found.state is not ApiState.PREPARING,
            timeout_s=timeout_s,
            what=f"API {body.name} is not live",
        )
    if wait and body.state is ApiState.FAILED:
        raise ApiFailed(f"API {body.name} cannot be served: {body.message or 'the gateway does not say why'}")
    return body
