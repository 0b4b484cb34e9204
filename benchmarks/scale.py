"""What grows with the number of jobs, of workers and of lines: the gateway, the tracker and the intake, each alone."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks import gateway_scale, intake_scale, tracker_scale
from benchmarks.bench import Bench
from benchmarks.contest import Announce


@dataclass(frozen=True, slots=True)
class ScaleResult:
    gateway: gateway_scale.GatewayResult
    tracker: tracker_scale.TrackerResult
    intake: intake_scale.IntakeResult

    def text(self) -> str:
        return "\n\n".join([self.gateway.text(), self.tracker.text(), self.intake.text()])


def measure(bench: Bench, lines: int, rounds: int, announce: Announce) -> ScaleResult:
    """`rounds` starts of the gateway; the others once."""
    return ScaleResult(
        gateway_scale.measure(bench, gateway_scale.JOBS, rounds, announce),
        tracker_scale.measure(bench, tracker_scale.SECONDS, announce),
        intake_scale.measure(bench, lines, announce),
    )
