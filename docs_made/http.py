"""docs/http-reference.md: every request with its parameters and answers, and every body, from the OpenAPI document."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from docs_made.markdown import MADE, code, table
from stream_infer.gateway.openapi import openapi_document

Shape: TypeAlias = Mapping[str, Any]

_HEAD = """
# HTTP reference

Every request, from the document that a gateway answers at `/openapi.json`. [HTTP](http.md) shows how they are used.
Whatever goes wrong is answered as a [problem document](http.md#errors), `ProblemDocument` below. Where there are
[API keys](security.md#api-keys), a request needs one with the scope that is named with it.

"""
_BOUNDS = (
    ("minimum", "maximum", ""),
    ("minLength", "maxLength", " characters"),
    ("minItems", "maxItems", ""),
)


def page() -> str:
    document = openapi_document()
    requests = (
        _request(method, path, operation)
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
    )
    schemas = (_schema(name, shape) for name, shape in document["components"]["schemas"].items())
    return MADE + _HEAD + "## Requests\n\n" + "\n".join(requests) + "\n## Bodies\n\n" + "\n".join(schemas)


def _request(method: str, path: str, operation: Shape) -> str:
    parameters = [
        (code(one["name"]), one["in"], _kind(one["schema"]), one.get("description", ""))
        for one in operation.get("parameters", ())
    ]
    bodies = [
        (code(kind), _kind(one["schema"])) for kind, one in operation.get("requestBody", _NONE)["content"].items()
    ]
    answers = [row for status, answer in operation["responses"].items() for row in _answers(status, answer)]
    parts = [
        f"### {method.upper()} {path}\n",
        f"{operation['summary']}. {_scope(operation['security'])}\n",
        f"{operation['description']}\n" if "description" in operation else "",
        table(("parameter", "in", "", ""), parameters),
        table(("request's type", "body"), bodies),
        table(("status", "type", "body", ""), answers),
    ]
    return "\n".join(part for part in parts if part)


_NONE: Shape = {"content": {}}


def _scope(security: Sequence[Mapping[str, list[str]]]) -> str:
    scopes = sorted({scope for way in security for asked in way.values() for scope in asked})
    return f"Scope: {', '.join(code(scope) for scope in scopes)}." if scopes else "Needs no key."


def _answers(status: str, answer: Shape) -> Iterator[tuple[str, str, str, str]]:
    """A row for each type; none for what all have in common."""
    if status == "default":
        return
    said = answer["description"]
    for kind, one in answer.get("content", {}).items():
        yield status, code(kind), _kind(one["schema"]), said
    if not answer.get("content"):
        yield status, "", "", said


def _schema(name: str, shape: Shape) -> str:
    required = shape.get("required", ())
    rows = [
        (code(member), f"{_kind(one)}, required" if member in required else _kind(_given(one)), _said(one))
        for member, one in shape.get("properties", {}).items()
    ]
    own = _kind({key: value for key, value in shape.items() if key not in ("title", "properties")})
    parts = [f"### {name}\n", _said(shape) + "\n" * bool(_said(shape)), table(("member", "", ""), rows) or own + ".\n"]
    return "\n".join(part for part in parts if part)


def _given(shape: Shape) -> Shape:
    """What a member is where it is there: that it may be null then says nothing more."""
    kinds = [one for one in shape.get("anyOf", ()) if one.get("type") != "null"]
    return {**shape, "anyOf": kinds} if kinds else shape


def _said(shape: Shape) -> str:
    return "\n\n".join(" ".join(part.split()) for part in shape.get("description", "").split("\n\n"))


def _kind(shape: Shape) -> str:
    """What a value may be, in words."""
    if "$ref" in shape:
        name = shape["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "const" in shape:
        return code(str(shape["const"]))
    if "enum" in shape:
        return ", ".join(code(str(one)) for one in shape["enum"]) + _default(shape)
    for several in ("anyOf", "oneOf"):
        if several in shape:
            return " or ".join(dict.fromkeys(_kind(one) for one in shape[several])) + _default(shape)
    match shape.get("type"):
        case None:
            return "anything"
        case "array":
            kind = f"list of {_kind(shape.get('items', {}))}"
        case "object":
            inner = shape.get("additionalProperties")
            kind = f"object of {_kind(inner)}" if isinstance(inner, Mapping) and inner else "object"
        case "string":
            kind = {"binary": "bytes"}.get(shape.get("format", ""), "text")
        case "boolean":
            kind = "true or false"
        case "integer":
            kind = "whole number"
        case named:
            kind = str(named)
    bounds = [
        _between(shape.get(low), shape.get(high)) + unit for low, high, unit in _BOUNDS if {low, high} & set(shape)
    ]
    above = [f"above {shape['exclusiveMinimum']}"] if "exclusiveMinimum" in shape else []
    return ", ".join([kind, *above, *bounds]) + _default(shape)


def _between(low: object, high: object) -> str:
    if low is None:
        return f"at most {high}"
    return f"{low} and more" if high is None else f"{low} to {high}"


def _default(shape: Shape) -> str:
    default = shape.get("default")
    return "" if default in (None, "", [], {}) else f", else {code(str(default).lower())}"
