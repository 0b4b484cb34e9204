"""What pydantic says about a body, in words that a person can act on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from stream_infer.http.problems import FieldError, Problem, ProblemKind, hint

ERRORS_SHOWN = 20
M = TypeVar("M", bound=BaseModel)


def validate(model: type[M], value: Any) -> M:
    """`value` as `model`; raises a Problem with a JSON pointer per error."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        errors = field_errors(error, model)
        first = errors[0]
        more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
        detail = f"{first.pointer or 'the body'}: {first.detail}{more}"
        raise Problem(ProblemKind.INVALID_REQUEST, detail, errors=errors) from None


def field_errors(error: ValidationError, model: type[BaseModel]) -> list[FieldError]:
    """At most 20 of them, in the order of the body."""
    found = error.errors(include_url=False, include_context=True, include_input=True)
    return [
        FieldError(pointer=json_pointer(entry["loc"]), detail=_detail(entry, model)) for entry in found[:ERRORS_SHOWN]
    ]


def json_pointer(location: Sequence[int | str]) -> str:
    """RFC 6901."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in location)


def _detail(entry: Any, model: type[BaseModel]) -> str:
    location = entry["loc"]
    if entry["type"] == "extra_forbidden" and location:
        known = known_keys(model, location[:-1])
        return f"unknown key.{hint(str(location[-1]), known)} Known keys: {', '.join(known)}"
    if entry["type"] in ("union_tag_not_found", "union_tag_invalid"):
        context = entry["ctx"]
        return (
            f"'type' has to be one of {context['expected_tags']}" if "expected_tags" in context else "'type' is missing"
        )
    message = str(entry["msg"]).removeprefix("Value error, ")
    given = entry["input"]
    shown = f"; got {given!r}"[:80] if isinstance(given, str | int | float | bool | None) else ""
    return message if entry["type"] == "missing" or "secret" in location else message + shown


def known_keys(model: type[BaseModel], location: Sequence[int | str]) -> list[str]:
    """The keys that the object at `location` of `model` may have."""
    for part in location:
        field = model.model_fields.get(str(part))
        inner = None if field is None else _model_in(field.annotation)
        if inner is None:
            return []
        model = inner
    return list(model.model_fields)


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for found in map(_model_in, get_args(annotation)) if found is not None), None)
