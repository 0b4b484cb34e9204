"""The models that clients have made: in the store, so that every gateway has the same.

    _models/{of this cluster and prefix}/{name}/{milliseconds since the epoch}.json

A list needs no more than the keys. Nothing removes a model but DeleteModel.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from pydantic import ValidationError

from stream_infer.errors import ServiceUnavailable
from stream_infer.gateway.sagemaker.create_model import (
    CreateModel,
    RegisteredModel,
    already_there,
    described_api,
    described_model,
    serving,
    unknown_model,
)
from stream_infer.gateway.sagemaker.lists import Entry
from stream_infer.gateway.services import Services
from stream_infer.http.problems import Problem, ProblemKind
from stream_infer.settings import ApiSettings
from stream_infer.uploads import mark_of

MOST_MODELS = 1000
_ROOT = "_models"
_KEY = re.compile(rf"{_ROOT}/[0-9a-f]{{8}}/([a-zA-Z0-9-]{{1,63}})/(\d{{13}})\.json", re.ASCII)
_NAME = re.compile(r"[a-zA-Z0-9-]{1,63}", re.ASCII)


class Place(NamedTuple):
    """Where a model lies; `created` in seconds since the epoch."""

    key: str
    name: str
    created: float


class Models:
    """Of two gateways that make one model at the same time both may succeed; the one that was made first counts."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def create(self, asked: CreateModel) -> None:
        """Raises a Problem where no API is to serve it, where it is there, or where there are too many."""
        services, name = self._services, asked.ModelName
        model = RegisteredModel(api=serving(asked, services.settings.api).name, asked=asked)
        key = f"{self._folder}{name}/{int(services.clock() * 1000):013}.json"
        data = model.model_dump_json(exclude_none=True).encode()

        def put() -> None:
            there = [place.name for place in self._places("")]
            if name in there:
                raise already_there(name)
            if len(there) >= MOST_MODELS:
                detail = f"{MOST_MODELS} models are there, and no more may be: delete_model those that nobody uses."
                raise Problem(ProblemKind.LIMIT_EXCEEDED, detail)
            services.store.put(key, data, "application/json")

        await services.block(put)

    async def describe(self, name: str) -> dict[str, object]:
        """As DescribeModel answers. Raises a Problem where there is neither a model nor an API of the name."""
        api = self._services.settings.api(name)
        found = await self._services.block(lambda: self._read(name))
        # An API may have come that is called as a model of another one is: its own name is its own.
        if found is not None and (api is None or found[0].api == name):
            return described_model(*found)
        if api is None:
            raise unknown_model(name, None)
        return described_api(api)

    async def delete(self, name: str) -> None:
        """Raises a Problem where there is none. An API of that name stays."""

        def delete() -> None:
            places = list(self._places(name))
            if not places:
                raise unknown_model(name, self._services.settings.api(name))
            for place in places:
                self._services.store.delete(place.key)

        await self._services.block(delete)

    async def entries(self) -> list[Entry[tuple[str, float]]]:
        """Of all models, and of the APIs that are none: the name and when it was made."""
        places = await self._services.block(lambda: list(self._places("")))
        made = {place.name: place.created for place in reversed(places)}
        apis = {api.name: 0.0 for api in self._services.settings.apis}
        return [Entry((name, at), name, at) for name, at in (apis | made).items()]

    async def api_of(self, name: str) -> ApiSettings:
        """The API that serves the model; an API's own name is always that API's. Raises a Problem where none does."""
        settings = self._services.settings
        api = settings.api(name)
        if api is not None:
            return api
        found = await self._services.block(lambda: self._read(name))
        # An API that has gone is told by its name, and what there is beside it.
        return self._services.api(name if found is None else found[0].api)

    @property
    def _folder(self) -> str:
        return f"{_ROOT}/{mark_of(self._services.owner)}/"

    def _places(self, name: str) -> Iterator[Place]:
        """Of the model of that name, or of all for ""; the oldest of each first."""
        if name and not _NAME.fullmatch(name):
            return
        for found in self._services.store.list(f"{self._folder}{name}/" if name else self._folder):
            match = _KEY.fullmatch(found.key)
            if match is not None:
                yield Place(found.key, match[1], int(match[2]) / 1000)

    def _read(self, name: str) -> tuple[RegisteredModel, float] | None:
        place = next(self._places(name), None)
        if place is None:
            return None
        try:
            return RegisteredModel.model_validate_json(self._services.store.get(place.key)), place.created
        except KeyError:  # deleted meanwhile
            return None
        except ValidationError as error:
            what = error.errors(include_url=False, include_input=False)[0]["msg"]
            detail = f"{self._services.store.uri(place.key)} is no model ({what}): delete_model it, and make it anew"
            raise ServiceUnavailable(detail) from None
