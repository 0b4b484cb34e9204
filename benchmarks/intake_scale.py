"""An intake alone with a long file of JSON lines: lines a second, and its resident memory from the first to the last.

No tracker runs: the job's status is written here once, with a rate that lets the intake publish as fast as it can.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.bench import API, Bench, Lane
from benchmarks.contest import Announce
from benchmarks.load import JOB_ID
from benchmarks.memory import Residence, write_lines
from benchmarks.observer import Unfinished
from benchmarks.processes import Started, resident_bytes, started
from benchmarks.report import percent, table
from stream_infer.jobs.checkpoints import Checkpoint, decode_checkpoint
from stream_infer.jobs.sources import JsonlFile
from stream_infer.jobs.spec import Job, encode_job
from stream_infer.jobs.status import JobStatus, State, encode_status
from stream_infer.kafka.publisher import Publisher
from stream_infer.kafka.topic_reader import TopicReader
from stream_infer.records import OutgoingRecord
from stream_infer.topics import Topics

LINES = 1_000_000
_EVERY_S = 0.25
_START_S = 60.0
_SLOWEST = 2_000.0
_MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class IntakeResult:
    """`points`: seconds since the first line was published, and how many were; `memory` over the same time."""

    lines: int
    points: list[tuple[float, int]]
    memory: Residence

    @property
    def rates(self) -> tuple[float, float, float]:
        """Lines a second over the whole time, over its first quarter, and over its last."""
        end = self.points[-1][0]
        first = [point for point in self.points if point[0] <= end / 4] or self.points[:1]
        last = [point for point in self.points if point[0] >= end * 3 / 4]
        return _rate(self.points), _rate(first), _rate(last)

    def text(self) -> str:
        whole, first, last = self.rates
        before, after = self.memory.quarters
        peak = self.memory.peak
        return "\n\n".join(
            [
                table(
                    ["intake", "lines/s", "first quarter", "last quarter"],
                    [[f"{self.lines:,} lines", f"{whole:,.0f}", f"{first:,.0f}", f"{last:,.0f}"]],
                ),
                table(
                    ["intake", "first quarter MiB", "last quarter MiB", "growth", "peak MiB"],
                    [
                        [
                            f"{self.lines:,} lines",
                            f"{before / _MIB:.1f}",
                            f"{after / _MIB:.1f}",
                            percent(self.memory.growth),
                            f"{peak / _MIB:.1f}",
                        ]
                    ],
                ),
            ]
        )


def measure(bench: Bench, lines: int, announce: Announce) -> IntakeResult:
    announce(f"an intake of {lines:,} lines")
    folder = bench.folder / "intake"
    folder.mkdir(exist_ok=True)
    file = write_lines(folder, lines)
    with bench.lane(all_topics=True, changes={"fetch": {"allowed_directories": [str(folder)]}}) as lane:
        reader = TopicReader(lane.settings.kafka, Topics(lane.settings.kafka.topic_prefix).checkpoints)
        try:
            with started(lane.role("intake"), lane.folder / "intake.log") as intake:
                _announce_job(lane, file, lines)
                points, samples = _watch(reader, intake, lines)
        finally:
            reader.close()
    file.unlink()
    result = IntakeResult(lines, points, Residence(samples, (samples[0][0], samples[-1][0])))
    announce(f"  {result.rates[0]:,.0f} lines/s")
    return result


def _watch(reader: TopicReader, intake: Started, lines: int) -> tuple[list[tuple[float, int]], list[tuple[float, int]]]:
    """How many lines were published, and how large the intake was, from the first of them to the last."""
    points: list[tuple[float, int]] = []
    samples: list[tuple[float, int]] = []
    began = 0.0
    deadline = time.monotonic() + _START_S + lines / _SLOWEST
    sampled_at = 0.0
    while True:
        told = _newest(reader)
        now = time.monotonic()
        if told is not None:
            began = began or now
            points.append((now - began, told.enqueued))
        if began and now >= sampled_at + _EVERY_S:
            samples.append((now - began, resident_bytes(intake.pid)))
            sampled_at = now
        if told is not None and told.exhausted:
            if told.enqueued != lines:
                raise Unfinished(f"the intake has published {told.enqueued:,} of {lines:,} lines")
            samples.append((now - began, resident_bytes(intake.pid)))
            return points, samples
        if now > deadline or not intake.is_running():
            raise Unfinished(f"the intake has not published everything:\n{intake.last_words()}")


def _newest(reader: TopicReader) -> Checkpoint | None:
    messages = reader.poll(_EVERY_S)
    return decode_checkpoint(messages[-1].value or b"") if messages else None


def _announce_job(lane: Lane, file: Path, lines: int) -> None:
    topics = Topics(lane.settings.kafka.topic_prefix)
    key = JOB_ID.encode()
    now = time.time()
    job = Job(job_id=JOB_ID, api=API, submitted_at=now, jsonl=JsonlFile(uri=file.as_uri()))
    status = JobStatus(job_id=JOB_ID, api=API, state=State.ENQUEUING, submitted_at=now, rate=float(lines))
    publisher = Publisher(lane.settings.kafka, "bench")
    publisher.publish(
        [
            OutgoingRecord(topics.status, key, encode_status(status)),
            OutgoingRecord(topics.jobs, key, encode_job(job)),
        ]
    )
    publisher.close()


def _rate(points: list[tuple[float, int]]) -> float:
    (began, before), (ended, after) = points[0], points[-1]
    return (after - before) / (ended - began) if ended > began else 0.0
