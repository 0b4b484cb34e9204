"""What a supervisor decides: whether a dead role comes back and when, and in which order all roles end. No effects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from stream_infer.settings import ApiSettings

BAD_CONFIG = 2
"""The exit status of a role that the user has to mend something for; starting it again changes nothing."""


class RoleKind(StrEnum):
    GATEWAY = "gateway"
    INTAKE = "intake"
    WORKER = "worker"
    SINK = "sink"
    TRACKER = "tracker"


@dataclass(frozen=True, slots=True)
class RoleSpec:
    """One process: its name in the log, and its command."""

    kind: RoleKind
    name: str
    command: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Phase:
    """Roles that end together, and the seconds they have for it before they are killed."""

    kind: RoleKind
    deadline: float


# Down the item's way, so that each role's last transaction still finds its reader at work: first no new jobs and
# items come in, then no more are published, then what the workers hold becomes results, then the sink flushes those;
# the tracker ends last, since all others report to it up to their end, and Kafka after everyone. Nothing depends on
# this order but how tidy the rest is: whatever is cut short is taken up at the next start.
STOP_PHASES = (
    Phase(RoleKind.GATEWAY, 5.0),
    Phase(RoleKind.INTAKE, 10.0),
    Phase(RoleKind.WORKER, 20.0),
    Phase(RoleKind.SINK, 20.0),
    Phase(RoleKind.TRACKER, 10.0),
)


def stop_deadline(kind: RoleKind) -> float:
    """The seconds a role has between being asked to end and being killed."""
    return next(phase.deadline for phase in STOP_PHASES if phase.kind is kind)


@dataclass(frozen=True, slots=True)
class RestartPolicy:
    """Delays in seconds: `first`, then twice as long each time, at most `longest`.

    A process that lived for `healthy_after` seconds starts again from `first`. From the `loop_after`-th death in a
    row on it is called a crash loop.
    """

    first: float = 0.2
    longest: float = 15.0
    healthy_after: float = 30.0
    loop_after: int = 3


@dataclass(frozen=True, slots=True)
class Restart:
    """Start it again after `delay` seconds. `deaths`: how many in a row, this one included."""

    delay: float
    deaths: int
    is_crash_loop: bool


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Starting it again would end the same way."""


def after_death(
    policy: RestartPolicy, status: int, lived: float, deaths_before: int, *, has_served: bool = False
) -> Restart | GiveUp:
    """What to do about a role that ended with `status` without being asked, `lived` seconds after its start.

    One that `has_served` before is configured well: what it lacks now may come back.
    """
    if status == BAD_CONFIG and not has_served:
        return GiveUp()
    deaths = 1 if lived >= policy.healthy_after else deaths_before + 1
    # 2.0**64 s is beyond any `longest`; without the cap a loop of months would overflow a float.
    delay = min(policy.longest, policy.first * 2.0 ** min(deaths - 1, 64))
    return Restart(delay, deaths, deaths >= policy.loop_after)


def describe_status(status: int) -> str:
    """An exit status in words; 128 + n is signal n, as in a shell."""
    return f"signal {status - 128}" if status > 128 else f"status {status}"


def worker_count(api: ApiSettings, wanted: int | None) -> int:
    """How many workers `up` starts for an API: `wanted`, or else `workers.max`.

    Nothing scales on one machine, so what would be started on demand elsewhere is there from the start; but no more
    than there are partitions, since the rest would own none.
    """
    return wanted if wanted is not None else min(api.workers.max, api.partitions)


def role_specs(
    program: Sequence[str], options: Sequence[str], apis: Sequence[ApiSettings], workers: int | None
) -> list[RoleSpec]:
    """One spec a process. `program` comes before the role's own command, `options` (the same for all) after it.

    Workers come first: on few cores the order of the starts matters, and a model takes longest.
    """

    def spec(kind: RoleKind, name: str, *own: str) -> RoleSpec:
        return RoleSpec(kind, name, (*program, kind.value, *own, *options))

    of_all = [spec(kind, kind.value) for kind in RoleKind if kind is not RoleKind.WORKER]
    of_apis = [
        spec(RoleKind.WORKER, f"worker {api.name}/{slot}", "--api", api.name, "--slot", str(slot))
        for api in apis
        for slot in range(worker_count(api, workers))
    ]
    return of_apis + of_all
