"""`/v1/webhooks`: what jobs' owners were told of their ends, and telling it again."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from heapq import nlargest
from operator import attrgetter

import structlog
from aiohttp import web

from stream_infer.gateway.board import caught_up
from stream_infer.gateway.services import Services
from stream_infer.gateway.validation import validate
from stream_infer.gateway.webhooks.bodies import (
    MOST_REPLAYED,
    DeliveryList,
    TellAgain,
    ToldAgain,
    delivery_body,
)
from stream_infer.http.answers import answer
from stream_infer.http.bodies import read_body
from stream_infer.http.problems import Problem, ProblemKind
from stream_infer.http.requests import JSON_TYPE, integer, parse_body, read_query, require_content_type, state_of
from stream_infer.jobs.deliveries import Delivery, Wish, webhook_record
from stream_infer.records import OutgoingRecord
from stream_infer.webhooks import DeliveryState

_AGE = attrgetter("at", "id")
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Choice:
    """Deliveries that all of these are true of; None is true of each."""

    job_id: str | None = None
    api: str | None = None
    state: DeliveryState | None = None
    ids: frozenset[str] | None = None

    def among(self, deliveries: Iterable[Delivery]) -> Iterator[Delivery]:
        for one in deliveries:
            wanted = ((self.job_id, one.job_id), (self.api, one.api), (self.state, one.state))
            if all(asked in (None, is_so) for asked, is_so in wanted) and (self.ids is None or one.id in self.ids):
                yield one


class WebhooksResource:
    def __init__(self, services: Services) -> None:
        self._services = services

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/v1/webhooks", self.look), web.post("/v1/webhooks/replay", self.tell_again)]

    async def look(self, request: web.Request) -> web.Response:
        query = read_query(request, ("job_id", "api", "state", "limit", "after"))
        limit = integer(query, "limit", 100, 1, 1000)
        choice = Choice(query.get("job_id"), query.get("api"), state_of(DeliveryState, query.get("state")))
        found = await self._newest(choice, limit + 1, query.get("after"))
        if not found:
            await self._check(choice)
        shown = [delivery_body(one) for one in found[:limit]]
        return answer(DeliveryList(deliveries=shown, has_more=len(found) > limit))

    async def tell_again(self, request: web.Request) -> web.Response:
        """202: it is written down, and whichever gateway has the job's deliveries tells it at once."""
        read_query(request, ())
        require_content_type(request, (JSON_TYPE,))
        asked = validate(TellAgain, parse_body(await read_body(request)))
        if asked == TellAgain():
            detail = "Say which events are to be told again: ids, job_id, api or state."
            raise Problem(ProblemKind.INVALID_REQUEST, detail)
        ids = None if asked.ids is None else frozenset(asked.ids)
        choice = Choice(asked.job_id, asked.api, asked.state, ids)
        found = await self._newest(choice, MOST_REPLAYED + 1)
        chosen = found[:MOST_REPLAYED]
        if not chosen:
            await self._check(choice)
        else:
            await self._services.writer.write([self._wish(one) for one in chosen])
        for one in chosen:
            _log.info("webhook_asked_for", job_id=one.job_id, webhook_event=one.event.value, webhook_id=one.id)
        unknown = sorted((ids or frozenset()) - {one.id for one in chosen})
        shown = [delivery_body(one) for one in chosen]
        return answer(ToldAgain(deliveries=shown, unknown=unknown, has_more=len(found) > len(chosen)), status=202)

    async def _check(self, choice: Choice) -> None:
        """Raises a Problem for a job or an API that there is not."""
        if choice.job_id is not None:
            await self._services.job(choice.job_id)
        if choice.api is not None and not self._services.board.has_job_of(choice.api):
            self._services.api(choice.api)

    async def _newest(self, choice: Choice, count: int, after: str | None = None) -> list[Delivery]:
        """The newest first, as of now; `after` is the id of the one that they come behind.

        Not in the event loop: there may be 100,000 to choose from. Raises a Problem where none has that id.
        """
        await caught_up(self._services.deliveries.catch_up())

        def choose() -> list[Delivery]:
            chosen = choice.among(self._known(choice))
            if after is not None:
                edge = _AGE(self._event(after))
                chosen = (one for one in chosen if _AGE(one) < edge)
            return nlargest(count, chosen, key=_AGE)

        return await self._services.block(choose)

    def _event(self, event_id: str) -> Delivery:
        found = next((one for one in self._services.deliveries.all() if one.id == event_id), None)
        if found is None:
            detail = f"after={event_id[:100]!r} is no event that is known here: take the last id of the page before."
            raise Problem(ProblemKind.INVALID_QUERY, detail)
        return found

    def _known(self, choice: Choice) -> Iterable[Delivery]:
        board = self._services.deliveries
        return board.all() if choice.job_id is None else board.of(choice.job_id)

    def _wish(self, one: Delivery) -> OutgoingRecord:
        wish = Wish(job_id=one.job_id, event=one.event, generation=one.generation, token=secrets.token_hex(8))
        return webhook_record(wish, self._services.topics.webhooks, self._services.settings.jobs.partitions)
