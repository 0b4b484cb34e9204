"""What a supervisor decides: whether a dead role comes back and when, and in which order all roles end. No effects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from stream_infer.settings import ApiSettings

BAD_CONFIG = 2
"""The exit status of a role that the user has to mend something for; starting it again changes nothing."""


class RoleKind(StrEnum):
    LOOKOUT = "lookout"
    PREPARE = "prepare"
    GATEWAY = "gateway"
    REALTIME = "realtime"
    INTAKE = "intake"
    WORKER = "worker"
    SINK = "sink"
    TRACKER = "tracker"


@dataclass(frozen=True, slots=True)
class RoleSpec:
    """One process: its name in the log, and its command. Of a worker: its API, and whether it is started on demand."""

    kind: RoleKind
    name: str
    command: tuple[str, ...]
    api: str | None = None
    on_demand: bool = False


@dataclass(frozen=True, slots=True)
class Phase:
    """Roles that end together, and the seconds they have for it before they are killed."""

    kind: RoleKind
    deadline: float


# Down the item's way, so that each role's last transaction still finds its reader at work: first no new jobs, items
# and requests come in, then the requests are answered that have come, then no more items are published, then what the
# workers hold becomes results, then the sink flushes those; the tracker ends last, since all others report to it up to
# their end, and Kafka after everyone. Nothing depends on this order but how tidy the rest is: whatever is cut short is
# taken up at the next start.
STOP_PHASES = (
    Phase(RoleKind.LOOKOUT, 5.0),
    Phase(RoleKind.PREPARE, 2.0),
    Phase(RoleKind.GATEWAY, 5.0),
    Phase(RoleKind.REALTIME, 20.0),
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

    One that `has_served` before is configured well: what it lacks now may come back. So may that of one that is started
    on demand, while others serve.
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


def worker_range(api: ApiSettings, wanted: int | None) -> tuple[int, int]:
    """The least and the most workers that `up` keeps for an API: `wanted`, always, or else `workers.min` to `.max`.

    No more than there are partitions, since the rest would own none.
    """
    if wanted is not None:
        return wanted, wanted
    most = min(api.workers.max, api.partitions)
    return min(api.workers.min, most), most


def own_replicas(api: ApiSettings) -> int:
    """How many realtime replicas `up` starts: none where they are elsewhere."""
    return 0 if api.realtime is None or api.realtime.addresses else api.realtime.replicas


def role_specs(
    program: Sequence[str], options: Sequence[str], apis: Sequence[ApiSettings], workers: int | None
) -> list[RoleSpec]:
    """One spec a process. `program` comes before the role's own command, `options` (the same for all) after it.

    Workers come first: on few cores the order of the starts matters, and a model takes longest.
    """
    of_apis = (RoleKind.WORKER, RoleKind.REALTIME, RoleKind.PREPARE)
    of_all = [RoleSpec(kind, kind.value, (*program, kind.value, *options)) for kind in RoleKind if kind not in of_apis]
    own = [api_specs(program, options, api, workers) for api in apis]
    return [spec for kind in of_apis for specs in own for spec in specs if spec.kind is kind] + of_all


def api_specs(program: Sequence[str], options: Sequence[str], api: ApiSettings, workers: int | None) -> list[RoleSpec]:
    """Those of one API: as many workers as it may have at most, then its replicas."""
    least, most = worker_range(api, workers)

    def worker(slot: int) -> RoleSpec:
        own = ("--api", api.name, "--slot", str(slot), *(("--patient",) if slot >= least else ()))
        command = (*program, RoleKind.WORKER.value, *own, *options)
        return RoleSpec(RoleKind.WORKER, f"worker {api.name}/{slot}", command, api.name, slot >= least)

    def replica(number: int) -> RoleSpec:
        command = (*program, RoleKind.REALTIME.value, "--api", api.name, "--replica", str(number), *options)
        return RoleSpec(RoleKind.REALTIME, f"realtime {api.name}/{number}", command)

    return [worker(slot) for slot in range(most)] + [replica(number) for number in range(own_replicas(api))]
