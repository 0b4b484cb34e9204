"""Whether processes stayed well: memory flat, ends in order, and how long a predictor's crash took. Pure."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from tests.soak.attempts import window
from tests.soak.evidence import Call
from tests.soak.injection import Injected
from tests.soak.items import Kind, Planned
from tests.soak.roles import Life, Measured
from tests.soak.truth import OTHER, Finding

MIB = 1 << 20
WARM_AFTER_S = 10.0
LONG_LIVED_S = 20.0
MEASURES = 5
HIGHEST = 512 * MIB
"""Of any process, however short it lived."""
GROWTH = 1.5
SLACK = 100 * MIB
ENDS_A_FAULT = 2
MOST_ENDS = 2
"""Of one role by itself, and for each second fault one more."""
# A reader that stopped reading after a fault is seen by `kafka/stalls.py` that much later, and ends its process then.
STALL_S = 50.0
ENDINGS = frozenset({Kind.SEGFAULT, Kind.ABORT, Kind.EXIT, Kind.HANG})


@dataclass(frozen=True, slots=True)
class Memory:
    """Of one kind of process: the highest of all, and the growth of the long-lived one that grew most (1.0: none)."""

    highest: int
    growth: float


def memory_of(measures: Sequence[Measured]) -> dict[str, Memory]:
    """By role; of a process, the median after its warm-up is compared with the median at its end."""
    highest: dict[str, int] = defaultdict(int)
    growth: dict[str, float] = defaultdict(lambda: 1.0)
    for (name, _), series in _series(measures).items():
        role = _role(name)
        highest[role] = max(highest[role], *(one.rss for one in series))
        if ends := _ends(series):
            growth[role] = max(growth[role], ends[1] / ends[0])
    return {role: Memory(highest[role], growth[role]) for role in sorted(highest)}


def check_memory(measures: Sequence[Measured]) -> Iterator[Finding]:
    for (name, pid), series in _series(measures).items():
        ends, most = _ends(series), max(one.rss for one in series)
        if most > HIGHEST:
            yield Finding(OTHER, f"{name} ({pid}) takes {most / MIB:.0f} MiB")
        if ends and ends[1] > GROWTH * ends[0] + SLACK:
            yield Finding(OTHER, f"{name} ({pid}) grew from {ends[0] / MIB:.0f} to {ends[1] / MIB:.0f} MiB")


def check_ends(statuses: Mapping[str, int | None], given_up: Sequence[str], left: Sequence[int]) -> Iterator[Finding]:
    """`statuses` are those of roles that were asked to end; `left` pids of what still lives."""
    for name, status in statuses.items():
        if status not in (0, None):
            yield Finding(OTHER, f"{name} ended with status {status} when it was asked to end")
    for name in given_up:
        yield Finding(OTHER, f"{name} ended with status 2: there is something for its user to mend")
    if left:
        yield Finding(OTHER, f"processes that outlived the run: {left}")


def own_ends(lives: Sequence[Life]) -> dict[str, int]:
    """How often a role ended that nobody killed or asked: it gave up, and was started again."""
    found: dict[str, int] = defaultdict(int)
    for life in _given_up(lives):
        found[f"{life.name.rpartition('-')[0]} (status {life.status})"] += 1
    return dict(found)


def check_own_ends(lives: Sequence[Life], injected: Sequence[Injected]) -> Iterator[Finding]:
    """A fault may make a role give up, and once more when it comes back too early; without one none has a reason to."""
    by_name: dict[str, list[float]] = defaultdict(list)
    for life in _given_up(lives):
        by_name[life.name].append(life.ended or 0.0)
    windows = [(began, end + STALL_S) for began, end in map(window, injected)]
    for name, ends in by_name.items():
        unprovoked = sum(not any(began <= at <= end for began, end in windows) for at in ends)
        if unprovoked:
            yield Finding(OTHER, f"{name} ended by itself {unprovoked} times while no fault was felt")
        felt = sum(any(began <= at <= end for at in ends) for began, end in windows)
        if len(ends) - unprovoked > ENDS_A_FAULT * felt or len(ends) > MOST_ENDS + len(injected) / 2:
            yield Finding(OTHER, f"{name} ended by itself {len(ends)} times, for {len(injected)} faults in all")


def _given_up(lives: Sequence[Life]) -> list[Life]:
    return [life for life in lives if life.gave_up]


def predictor_recoveries(calls: Sequence[Call], items: Mapping[str, Planned]) -> dict[str, list[float]]:
    """By kind of poison, the seconds from the beginning of a call that ended the predictor to the next one's call.

    A hang includes its deadline. `items` by their names.
    """
    by_process: dict[str, list[Call]] = defaultdict(list)
    for call in calls:
        by_process[call.process].append(call)
    found: dict[str, list[float]] = defaultdict(list)
    for process, mine in by_process.items():
        kinds = [items[name].kind for name in mine[-1].names if name in items and items[name].kind in ENDINGS]
        worker = process.partition("-")[0]
        later = [
            others[0].at
            for other, others in by_process.items()
            if other.partition("-")[0] == worker and others[0].at > mine[-1].at
        ]
        if kinds and later:
            found[kinds[0].value].append(min(later) - mine[-1].at)
    return dict(found)


def _series(measures: Sequence[Measured]) -> dict[tuple[str, int], list[Measured]]:
    found: dict[tuple[str, int], list[Measured]] = defaultdict(list)
    for one in measures:
        found[one.name, one.pid].append(one)
    return found


def _ends(series: Sequence[Measured]) -> tuple[float, float] | None:
    warm = [one for one in series if one.at >= series[0].at + WARM_AFTER_S]
    if len(warm) < MEASURES or warm[-1].at - series[0].at < LONG_LIVED_S:
        return None
    quarter = max(2, len(warm) // 4)
    return median(one.rss for one in warm[:quarter]), median(one.rss for one in warm[-quarter:])


def _role(name: str) -> str:
    base, slash, rest = name.partition("/")
    return base.rpartition("-")[0] + slash + rest
