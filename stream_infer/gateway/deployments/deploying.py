"""From what was sent to a definition on `{p}.apis`: code into the store, then topics, then the record."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import structlog

from stream_infer.definitions import Definition, code_key, definition_records, tombstones
from stream_infer.errors import ServiceUnavailable, TopicMismatch
from stream_infer.gateway.board import KnownJob
from stream_infer.gateway.claims import Write
from stream_infer.gateway.deployments.checks import check_archive, define, merge_patch, refused
from stream_infer.gateway.deployments.deployed import DeployedApis
from stream_infer.gateway.deployments.request import Deployment
from stream_infer.gateway.services import Services
from stream_infer.gateway.submitting import Submissions
from stream_infer.gateway.validation import validate
from stream_infer.http.problems import Problem, ProblemKind, unknown_api
from stream_infer.kafka.admin import apply_api
from stream_infer.results import objection_to
from stream_infer.settings import ApiSettings

# A stop shows in a job's row within a second; its end waits for what is in the model.
STOPPED_WITHIN_S = 30.0
_LOOK_EVERY_S = 0.2
_log = structlog.get_logger(__name__)


class Deploying:
    """Of one gateway. Whoever holds the claim of an API's name is alone with its definition: two gateways cannot write
    each other's over (`claims.py`)."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._submissions = Submissions(services)

    async def create(self, sent: Deployment) -> Definition:
        """Raises a Problem where there is such an API."""
        return await self._deploy(sent, None, self._must_be_new)

    async def replace(self, name: str, sent: Deployment) -> Definition:
        """As `create`, or a new revision of what is there; what is there, where that would be the same."""
        return await self._deploy(sent, name, lambda _: None)

    async def patch(self, name: str, patch: Any) -> Definition:
        """Of the definition; its code stays. Raises a Problem."""
        self._must_not_be_configured(name)

        async def act(write: Write) -> Definition:
            before = await self._found(name)
            value = merge_patch(before.definition, patch)
            after = define(value, before.code, self._services.settings, self._services.clock())
            self._must_be_named(after.name, name)
            self._must_be_readable(after.api)
            return await self._write(before, after, write)

        return await self._services.claims.alone(_claim(name), act)

    async def delete(self, name: str, *, force: bool) -> None:
        """Raises a Problem where it has jobs that have not ended, and they are not to be stopped."""
        self._must_not_be_configured(name)
        await self._found(name)
        if force:
            await self._stop_jobs(name)

        async def act(write: Write) -> None:
            await self._found(name)
            self._must_be_idle(await self._active(name), name)
            await write(tombstones(name, self._deployed.said_of(name), self._services.topics))

        await self._services.claims.alone(_claim(name), act)
        _log.info("api_deleted", api=name)
        await self._see()

    async def _deploy(
        self, sent: Deployment, name: str | None, may_replace: Callable[[Definition | None], None]
    ) -> Definition:
        services = self._services
        api = validate(ApiSettings, sent.definition)
        self._must_be_named(api.name, name or api.name)
        self._must_not_be_configured(api.name)
        self._must_be_readable(api)
        digest = await self._kept(sent.code, api)

        async def act(write: Write) -> Definition:
            await self._deployed.catch_up()
            before = self._deployed.get(api.name)
            may_replace(before)
            after = define(sent.definition, digest, services.settings, services.clock())
            return await self._write(before, after, write)

        return await services.claims.alone(_claim(api.name), act)

    async def _kept(self, code: bytes | None, api: ApiSettings) -> str | None:
        """Where it is refused nothing was written; where it is not, whoever sees the definition finds its code."""
        if code is None:
            return None
        services, most = self._services, self._services.settings.limits.code_bytes
        digest = await services.block(lambda: check_archive(code, api, most))
        key = code_key(digest)
        await services.block(lambda: services.store.put(key, code, "application/gzip"))
        return digest

    async def _write(self, before: Definition | None, after: Definition, write: Write) -> Definition:
        """Topics first: whoever sees the definition finds them. One that failed is tried anew, also where nothing of it
        has changed."""
        services = self._services
        if before is not None and after.is_as(before) and not self._deployed.has_failed(before):
            return before
        try:
            await services.block(lambda: apply_api(services.configured, after.api))
        except TopicMismatch as error:
            raise refused("/partitions", str(error)) from None
        deployed = self._deployed
        await write(definition_records(deployed.sealed(after), deployed.said_of(after.name), services.topics))
        _log.info("api_deployed", api=after.name, revision=after.revision, version=after.api.version, code=after.code)
        await self._see()
        return after

    async def _see(self) -> None:
        """It is written: whoever heard of a fault from here on would write it again."""
        with suppress(ServiceUnavailable):
            await self._deployed.catch_up()

    async def _found(self, name: str) -> Definition:
        await self._deployed.catch_up()
        found = self._deployed.get(name)
        if found is None:
            raise unknown_api(name, self._services.settings.names)
        return found

    async def _active(self, name: str) -> list[KnownJob]:
        return [
            one for one in await self._services.board.all() if one.job.api == name and not one.status.state.is_final
        ]

    async def _stop_jobs(self, name: str) -> None:
        """Returns once all have ended, or the time for it is over."""
        until = asyncio.get_running_loop().time() + STOPPED_WITHIN_S
        stops: Callable[[KnownJob], Awaitable[KnownJob]] = self._submissions.stop
        await asyncio.gather(*(stops(known) for known in await self._active(name)))
        while await self._active(name) and asyncio.get_running_loop().time() < until:  # noqa: ASYNC110 - of many jobs
            await asyncio.sleep(_LOOK_EVERY_S)

    @property
    def _deployed(self) -> DeployedApis:
        assert self._services.deployed is not None, "a gateway that serves has them"
        return self._services.deployed

    def _must_not_be_configured(self, name: str) -> None:
        if self._services.configured.api(name) is not None:
            detail = f"API {name} is defined in the gateway's own stream-infer.yaml: change it there, and restart."
            raise Problem(ProblemKind.API_CONFIGURED, detail)

    def _must_be_new(self, before: Definition | None) -> None:
        if before is not None:
            detail = f"API {before.name} is there already: PUT /v1/apis/{before.name} replaces it."
            raise Problem(ProblemKind.API_EXISTS, detail)

    def _must_be_named(self, name: str, path: str) -> None:
        if name != path:
            raise refused("/name", f"the definition is of {name!r}, and the path names {path[:100]!r}")

    def _must_be_readable(self, api: ApiSettings) -> None:
        objection = objection_to(api.results.format, self._services.formats)
        if objection is not None:
            raise refused("/results/format", objection)

    def _must_be_idle(self, active: list[KnownJob], name: str) -> None:
        if active:
            ids = [known.job.job_id for known in active[:10]]
            more = f" and {len(active) - 10} more" if len(active) > 10 else ""
            detail = (
                f"API {name} has jobs that have not ended: {', '.join(ids)}{more}. Wait for them, or use force=true"
            )
            raise Problem(ProblemKind.API_BUSY, f"{detail}, which stops them; where it did, ask again.", jobs=ids)


def _claim(name: str) -> str:
    """An id among those of jobs; none of them has a blank."""
    return f"api {name}"
