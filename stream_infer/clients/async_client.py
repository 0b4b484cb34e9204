"""The gateway for a program of coroutines: `stream_infer.async_client(…)`. What `client.py` has, with await."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Self, Unpack

from anyio import to_thread

from stream_infer.clients import calls
from stream_infer.clients.api_info import ApiInfo
from stream_infer.clients.async_gateway import AsyncGateway
from stream_infer.clients.async_job import AsyncJob
from stream_infer.clients.deploying import DEPLOY_TIMEOUT_S, deployed, deployment
from stream_infer.clients.given import Given, source_of
from stream_infer.clients.payloads import output_of, payload_of
from stream_infer.clients.planning import Plan, planning
from stream_infer.clients.replaying import Letters, wanted
from stream_infer.clients.submitting import JobOptions, submitting
from stream_infer.gateway.dead_letters.bodies import ReplayBody


class AsyncClient:
    """A gateway's APIs and jobs. Connects to nothing before it is asked; for one event loop.

    Raises what `stream_infer.clients.errors` has, all of it StreamInferError. A request that may be repeated is, with
    growing pauses, when the gateway is away or asks to come again. As a context it is closed at the end.
    """

    def __init__(self, gateway: AsyncGateway) -> None:
        self._gateway = gateway

    @property
    def url(self) -> str:
        return self._gateway.url

    async def submit(
        self,
        api: str,
        source: Given,
        *,
        includes: Sequence[str] = (),
        excludes: Sequence[str] = (),
        idempotency_key: str | None = None,
        **options: Unpack[JobOptions],
    ) -> AsyncJob:
        """Submits a job: of what `Client.submit` takes, or of an asynchronous iterator."""
        source_given = source_of(source, {"includes": includes, "excludes": excludes})
        status = await self._gateway.run(submitting(self.url, api, source_given, options, idempotency_key))
        return AsyncJob(self._gateway, status)

    async def dry_run(
        self,
        api: str,
        source: Given,
        *,
        limit: int = 1000,
        includes: Sequence[str] = (),
        excludes: Sequence[str] = (),
        **options: Unpack[JobOptions],
    ) -> Plan:
        """The first `limit` items that `submit` would enqueue of the same, and whether the job may be; changes nothing.

        An iterator is used up by that. What the gateway cannot read is sent, and removed again.
        """
        source_given = source_of(source, {"includes": includes, "excludes": excludes})
        return await self._gateway.run(planning(self.url, api, source_given, options, limit))

    async def get_job(self, job_id: str) -> AsyncJob:
        """Raises UnknownJob."""
        return AsyncJob(self._gateway, await self._gateway.ask(calls.job(job_id)))

    async def jobs(self, *, api: str | None = None, state: str | None = None) -> AsyncIterator[AsyncJob]:
        """All jobs that are known, those of one API, or those in one state, the newest first; page by page."""
        after: str | None = None
        has_more = True
        while has_more:
            page = await self._gateway.ask(calls.jobs(api=api, state=state, limit=100, after=after))
            for status in page.jobs:
                yield AsyncJob(self._gateway, status)
            has_more = page.has_more and bool(page.jobs)
            after = page.jobs[-1].job_id if page.jobs else None

    async def stop_job(self, job_id: str) -> AsyncJob:
        """Stops it: items that have not begun are skipped, what is done stays."""
        return AsyncJob(self._gateway, await self._gateway.ask(calls.stop(job_id)))

    async def replay(self, api: str, **letters: Unpack[Letters]) -> ReplayBody:
        """Runs dead letters of an API again that belong to no job, each once; needs a key that may `admin`. Those of a
        job: `get_job(ID).replay()`."""
        return await self._gateway.ask(calls.replay(f"apis/{api}", wanted(letters)))

    async def apis(self) -> list[ApiInfo]:
        return [ApiInfo.of(body, self.url) for body in await self._gateway.ask(calls.apis())]

    list_apis = apis

    async def get_api(self, name: str) -> ApiInfo:
        """Raises UnknownApi."""
        return ApiInfo.of(await self._gateway.ask(calls.api(name)), self.url)

    async def create_api(
        self,
        api_spec: Mapping[str, Any],
        predictor: type | None = None,
        requirements: Sequence[str] = (),
        project_dir: str | os.PathLike[str] | None = None,
        *,
        wait: bool = True,
        timeout: float | None = DEPLOY_TIMEOUT_S,  # noqa: ASYNC109
    ) -> ApiInfo:
        """Deploys an API to the gateway that runs, or a new revision of it; needs a key that may `admin`.

        `api_spec` is an entry of `apis` as stream-infer.yaml has it. Its code is `predictor`, a class, and
        `project_dir`, a folder that its paths are seen from; each may be left out. `requirements`, as in a
        requirements.txt, are installed into an environment of its own. With `wait` it is live when this returns:
        ApiFailed where it cannot be, WaitTimeout after so many seconds. What a class is sent as, and which Python it
        fits, is in `code_of`.
        """
        # Reads and packs a folder, which takes its time.
        name, form = await to_thread.run_sync(deployment, api_spec, predictor, requirements, project_dir)
        made = await self._gateway.run(deployed(calls.put_api(name, form), wait=wait, timeout_s=timeout))
        return ApiInfo.of(made, self.url)

    async def patch(
        self,
        name: str,
        patch: Mapping[str, Any],
        *,
        wait: bool = True,
        timeout: float | None = DEPLOY_TIMEOUT_S,  # noqa: ASYNC109
    ) -> ApiInfo:
        """Changes the definition of an API that was deployed: what `patch` names, and null removes. Its code stays."""
        made = await self._gateway.run(deployed(calls.patch_api(name, patch), wait=wait, timeout_s=timeout))
        return ApiInfo.of(made, self.url)

    async def delete_api(self, name: str, *, force: bool = False) -> None:
        """Removes an API that was deployed. Conflict while it has jobs that have not ended; `force` stops them."""
        await self._gateway.ask(calls.delete_api(name, force=force))

    async def predict(
        self,
        api: str,
        payload: Any,
        *,
        content_type: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 (the predictor's, which the gateway keeps)
    ) -> Any:
        """One item's output, at once: a JSON value, or bytes where it is anything else.

        `payload` is a JSON value, bytes, or a file's path. Raises ItemRejected where the predictor refuses it.
        """
        item, kind = payload_of(payload, content_type)
        return output_of(*await self._gateway.ask(calls.predict(api, item, kind, timeout)))

    async def close(self) -> None:
        await self._gateway.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
