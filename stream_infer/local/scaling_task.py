"""`up`'s scaler, and the pipe on which the lookout speaks to it."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass

from stream_infer.local.deployments import Deployments
from stream_infer.local.scaler import Scaler
from stream_infer.local.scaling import ScalingPolicy
from stream_infer.local.sighting import HeardDefinitions, decode_sighting
from stream_infer.local.supervision import worker_range
from stream_infer.local.supervisor import SUPERVISOR, Report
from stream_infer.settings import MIB, ApiSettings, Settings

# Of what the intake lets wait: a quarter is soon done, and the workers are no bottleneck.
_BEHIND = 0.25
_LONGEST_LINE = 64 * MIB


def scaling_policies(settings: Settings, workers: int | None) -> dict[str, ScalingPolicy]:
    """Of the APIs whose number of workers is not fixed."""
    policies = {api.name: scaling_policy(api, settings, workers) for api in settings.apis}
    return {name: policy for name, policy in policies.items() if policy is not None}


def scaling_policy(api: ApiSettings, settings: Settings, workers: int | None) -> ScalingPolicy | None:
    """None: the number of its workers is fixed."""
    least, most = worker_range(api, workers)
    behind_s = settings.intake.ahead_seconds * _BEHIND
    return ScalingPolicy(least, most, api.workers.idle_seconds, behind_s) if least < most else None


@dataclass(frozen=True, slots=True)
class Pipe:
    """Two descriptors. That for writing stays open here too: a lookout may die, and the next one goes on."""

    reading: int
    writing: int


def sightings_pipe() -> Pipe:
    """Closed by `scaling`, at its end."""
    return Pipe(*os.pipe())


@contextlib.asynccontextmanager
async def scaling(
    scaler: Scaler, deployments: Deployments, sightings: Pipe, stop: asyncio.Event, report: Report
) -> AsyncIterator[None]:
    """Scales and deploys while the block runs. An error that nobody foresaw sets `stop`, and is raised at the end of
    the block."""
    task = asyncio.create_task(_hear(scaler, deployments, sightings.reading, report))
    task.add_done_callback(lambda _: stop.set())
    try:
        yield
    finally:
        task.cancel()
        os.close(sightings.writing)
        with contextlib.suppress(asyncio.CancelledError):
            await task
        await deployments.end()


async def _hear(scaler: Scaler, deployments: Deployments, reading: int, report: Report) -> None:
    heard = HeardDefinitions()
    reader = asyncio.StreamReader(limit=_LONGEST_LINE)
    pipe = os.fdopen(reading, "rb", buffering=0)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), pipe
    )
    try:
        while line := await _line(reader, report):
            sighting = decode_sighting(line)
            if sighting is not None:
                scaler.see(sighting)
            elif (definitions := heard.hear(line)) is not None:
                deployments.see(definitions)
    finally:
        transport.close()


async def _line(reader: asyncio.StreamReader, report: Report) -> bytes:
    """The next one that is not too long; nothing: there is none."""
    while True:
        try:
            return await reader.readline()
        except ValueError:  # what has come of it is gone; the rest is a line that nobody can read
            said = f"a line of the lookout's is longer than {_LONGEST_LINE:,} bytes, and is passed over"
            report(SUPERVISOR, f"{said}: what it tells of an API and its jobs is as it was before")
