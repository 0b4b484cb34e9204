"""What clients are told of an API."""

from __future__ import annotations

from typing import Any, Self

from pydantic import ConfigDict

from stream_infer.gateway.api_bodies import ApiBody


class ApiInfo(ApiBody):
    """An API. Its fields can be had as items, too: `info["endpoint"]`, which is where Cortex's clients post to."""

    model_config = ConfigDict(frozen=True, extra="allow")

    @classmethod
    def of(cls, body: ApiBody, url: str) -> Self:
        """`url` is the gateway's, as this client knows it, and reaches it."""
        return cls.model_validate({**body.model_dump(), "endpoint": f"{url}/{body.name}"})

    def __getitem__(self, name: str) -> Any:
        """Raises KeyError."""
        if name not in type(self).model_fields and name not in (self.model_extra or {}):
            raise KeyError(name)
        return getattr(self, name)
