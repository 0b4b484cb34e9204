"""`up`'s scaler with what it looks at: the group's lag and the rows of all jobs."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from operator import attrgetter

from stream_infer.errors import StreamInferError
from stream_infer.jobs.status import JobStatus, decode_status
from stream_infer.kafka.following import Following
from stream_infer.kafka.lag import LagReader
from stream_infer.kafka.views import CompactedView
from stream_infer.local.scaler import LOOK_EVERY_S, ScaledApi, Scaler
from stream_infer.local.scaling import ScalingPolicy
from stream_infer.local.supervision import worker_range
from stream_infer.local.supervisor import SUPERVISOR, Report, Supervisor
from stream_infer.settings import ApiSettings, Settings
from stream_infer.topics import Topics

# Of what the intake lets wait: a quarter is soon done, and the workers are no bottleneck.
_BEHIND = 0.25


@contextlib.asynccontextmanager
async def scaling(
    settings: Settings, workers: int | None, supervisor: Supervisor, report: Report, stop: asyncio.Event
) -> AsyncIterator[None]:
    """Scales while the block runs; nothing at all where each API has a fixed number of workers.

    An error that nobody foresaw sets `stop`, and is raised at the end of the block.
    """
    apis = [_scaled(settings, api, workers) for api in settings.apis]
    scaled = [api for api in apis if not api.policy.is_fixed]
    if not scaled:
        yield
        return
    task = asyncio.create_task(_scale(settings, scaled, supervisor, report))
    task.add_done_callback(lambda _: stop.set())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def _scaled(settings: Settings, api: ApiSettings, workers: int | None) -> ScaledApi:
    least, most = worker_range(api, workers)
    policy = ScalingPolicy(least, most, api.workers.idle_seconds, settings.intake.ahead_seconds * _BEHIND)
    names = Topics(settings.kafka.topic_prefix).api(api.name)
    reader = LagReader(settings.kafka, names.worker_group, Following(names.items, names.tier_pattern))
    return ScaledApi(api.name, names.items, policy, reader.read)


async def _scale(settings: Settings, apis: list[ScaledApi], supervisor: Supervisor, report: Report) -> None:
    loop = asyncio.get_running_loop()

    def changed(_job_id: str, status: JobStatus | None) -> None:
        """On the view's thread."""
        if status is not None and not loop.is_closed():
            loop.call_soon_threadsafe(scaler.note, status)

    def rows() -> dict[str, JobStatus]:
        return view.snapshot()

    view = _view(settings, changed)
    scaler = Scaler(apis, supervisor, rows, report)
    try:
        while not await _has_started(view, report):
            view = _view(settings, changed)
        await scaler.run()
    finally:
        view.close()


def _view(settings: Settings, changed: Callable[[str, JobStatus | None], None]) -> CompactedView[JobStatus]:
    topic = Topics(settings.kafka.topic_prefix).status
    return CompactedView(settings.kafka, topic, decode_status, changed, key_of=attrgetter("job_id"))


async def _has_started(view: CompactedView[JobStatus], report: Report) -> bool:
    try:
        await asyncio.to_thread(view.start)
    except StreamInferError as error:
        report(SUPERVISOR, f"cannot read how jobs stand, so nothing scales: {error}")
        await asyncio.sleep(LOOK_EVERY_S)
        return False
    return True
