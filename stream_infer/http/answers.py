"""Answers that every role gives."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from aiohttp import web
from pydantic import BaseModel, ConfigDict

from stream_infer.http.json_text import to_json
from stream_infer.http.requests import JSON_TYPE


class HealthBody(BaseModel):
    model_config = ConfigDict(frozen=True)

    status: Literal["ok", "ready"]


def answer(
    body: BaseModel | Mapping[str, Any],
    *,
    status: int = 200,
    headers: dict[str, str] | None = None,
    content_type: str = JSON_TYPE,
) -> web.Response:
    return web.Response(status=status, body=to_json(body), content_type=content_type, headers=headers)
