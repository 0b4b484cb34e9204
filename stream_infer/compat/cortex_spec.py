"""From an `api_spec` of Cortex's, an entry of a cortex.yaml, to a definition that the gateway takes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from stream_infer.clients.code import ENTRY
from stream_infer.configuration.cortex_yaml import from_cortex
from stream_infer.errors import UsageError
from stream_infer.gateway.api_bodies import ApiBody

_SECTIONS = ("handler", "predictor")
_FIRST_PORT, _PORTS_OF_AN_API = 8090, 100


@dataclass(frozen=True, slots=True)
class Converted:
    """`notes`: what of the spec is ignored, and why."""

    definition: dict[str, Any]
    notes: tuple[str, ...]

    def changes(self, api_spec: Mapping[str, Any]) -> dict[str, Any]:
        """As a merge patch that changes what `api_spec` says, and nothing that it is silent about."""
        section = _section_of(api_spec)
        given = api_spec.get(section)
        said: dict[str, Any] = {}
        if isinstance(given, Mapping):
            predictor = self.definition["predictor"]
            kept = {name for name in ("path", "config", "python_path", "env") if name in given}
            said["predictor"] = {name: value for name, value in predictor.items() if name in kept}
            if "server_side_batching" in given:
                said["predictor"]["batch_size"] = predictor.get("batch_size")
                said["batching"] = self.definition["batching"]
        if "autoscaling" in api_spec:
            said |= {name: self.definition[name] for name in ("workers",) if name in self.definition}
            replicas = self.definition.get("realtime", {}).get("replicas")
            said |= {} if replicas is None else {"realtime": {"replicas": replicas}}
        return said


def convert(api_spec: Mapping[str, Any], *, has_class: bool, taken: frozenset[int]) -> Converted:
    """`has_class`: the code is a class that is sent along, so the spec needs no path. `taken`: ports on which replicas
    listen already. Raises UsageError, which says what is wrong with the spec, or is not done here."""
    spec = deepcopy(dict(api_spec))
    if has_class:
        section = _section_of(spec)
        given = spec.setdefault(section, {})
        if isinstance(given, dict):
            given["path"] = given.get("path", ENTRY)
    read = from_cortex([spec], {})
    if read.complaints:
        said = "; ".join(f"{each.name}: {each.message}" for each in read.complaints)
        raise UsageError(f"api_spec of {spec.get('name')}: {said}")
    [definition] = read.document.values["apis"]
    if "realtime" in definition:
        definition["realtime"]["listen"] = f"127.0.0.1:{_free(taken)}"
    return Converted(definition, tuple(read.notes))


def ports_of(apis: Iterable[ApiBody]) -> frozenset[int]:
    """Those on which replicas of any API listen."""
    ports = (urlsplit(replica.url).port for body in apis for replica in body.replicas)
    return frozenset(port for port in ports if port is not None)


def _free(taken: frozenset[int]) -> int:
    port = _FIRST_PORT
    while any(port <= each < port + _PORTS_OF_AN_API for each in taken):
        port += _PORTS_OF_AN_API
    return port


def _section_of(spec: Mapping[str, Any]) -> str:
    return next((each for each in _SECTIONS if each in spec), "predictor")
