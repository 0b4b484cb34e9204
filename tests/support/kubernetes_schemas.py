"""JSON Schemas of Kubernetes' resources as kubeconform wants them: a file a kind; keys it does not know are refused.

Made from Kubernetes' own OpenAPI document and the custom resources' definitions, as `make kubernetes` fetches them.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

LOCATION = "{{ .Group }}/{{ .ResourceKind }}_{{ .ResourceAPIVersion }}.json"
"""Below the folder of `write_schemas`; of the core's kinds the group is the version."""

_REF = "#/definitions/"
_TEXT_OR_NUMBER = {"oneOf": [{"type": "string"}, {"type": "number"}]}
_QUANTITY = "io.k8s.apimachinery.pkg.api.resource.Quantity"


def write_schemas(source: Path, target: Path) -> None:
    """`source`: swagger.json and the custom resources' definitions, *.yaml."""
    for group, kind, version, schema in [*_core(source / "swagger.json"), *_custom(source)]:
        file = target / (group or version) / f"{kind.lower()}_{version}.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(schema))


def _core(swagger: Path) -> Iterator[tuple[str, str, str, dict[str, Any]]]:
    found: Mapping[str, Any] = json.loads(swagger.read_text())["definitions"]
    definitions = {name: strict(schema) for name, schema in found.items()} | {_QUANTITY: _TEXT_OR_NUMBER}
    for name, schema in found.items():
        kinds = schema.get("x-kubernetes-group-version-kind", [])
        if len(kinds) == 1:
            (kind,) = kinds
            needed = _closure(name, definitions)
            whole = definitions[name] | {"definitions": {each: definitions[each] for each in needed}}
            yield kind["group"], kind["kind"], kind["version"], whole


def _custom(folder: Path) -> Iterator[tuple[str, str, str, dict[str, Any]]]:
    for file in sorted(folder.glob("*.yaml")):
        for definition in yaml.safe_load_all(file.read_text()):
            spec = definition["spec"]
            for version in spec["versions"]:
                schema = strict(version["schema"]["openAPIV3Schema"])
                yield spec["group"], spec["names"]["kind"], version["name"], schema


def strict(schema: Any) -> Any:
    """`schema`, where an object that lists its properties has no others."""
    if not isinstance(schema, dict):
        return schema
    if schema.get("format") == "int-or-string" or schema.get("x-kubernetes-int-or-string"):
        return _TEXT_OR_NUMBER
    made = dict(schema)
    if "properties" in schema:
        made["properties"] = {name: strict(one) for name, one in schema["properties"].items()}
        if "additionalProperties" not in schema and not schema.get("x-kubernetes-preserve-unknown-fields"):
            made["additionalProperties"] = False
    for key in ("items", "additionalProperties"):
        if key in schema:
            made[key] = strict(schema[key])
    return made


def _closure(name: str, definitions: Mapping[str, Any]) -> set[str]:
    seen: set[str] = set()
    left = list(_refs(definitions[name]))
    while left:
        one = left.pop()
        if one not in seen:
            seen.add(one)
            left += _refs(definitions[one])
    return seen


def _refs(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        ref = value.get("$ref")
        if isinstance(ref, str) and ref.startswith(_REF):
            yield ref.removeprefix(_REF)
        for inner in value.values():
            yield from _refs(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _refs(inner)
