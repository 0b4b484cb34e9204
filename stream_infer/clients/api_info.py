"""What clients are told of an API."""

from __future__ import annotations

from typing import Any, Self

from pydantic import ConfigDict

from stream_infer.gateway.api_bodies import ApiBody


class ApiInfo(ApiBody):
    """An API, and its `endpoint`: the address that Cortex's clients post jobs and payloads to. Its fields can be had as
    items, too: `info["endpoint"]`."""

    model_config = ConfigDict(frozen=True, extra="allow")

    endpoint: str = ""

    @classmethod
    def of(cls, body: ApiBody, url: str) -> Self:
        """`url` is the gateway's, as this client knows it."""
        return cls.model_validate({**body.model_dump(), "endpoint": f"{url}/{body.name}"})

    def __getitem__(self, name: str) -> Any:
        """Raises KeyError."""
        if name not in type(self).model_fields and name not in (self.model_extra or {}):
            raise KeyError(name)
        return getattr(self, name)
