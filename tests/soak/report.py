"""What a run says at its end: tables for people, one line of JSON for programs. Pure."""

import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

from tests.soak.attempts import Recomputed, Suspects
from tests.soak.health import MIB, Memory
from tests.soak.injection import Injected
from tests.soak.items import OF_KIND, Planned
from tests.soak.plan import Plan
from tests.soak.truth import DOUBLED, LOST, MISJUDGED, OTHER, Finding

TOLD = 12
NO_SUSPECTS = Suspects()
NOT_LOOKED = Recomputed(0.0, 0.0, 0.0, 0)


@dataclass(slots=True)
class Outcome:
    """Everything that a run found out. Times in seconds."""

    plan: Plan
    seconds: float = 0.0
    drained_in: float = 0.0
    items: Sequence[Planned] = ()
    findings: list[Finding] = field(default_factory=list)
    injected: Sequence[Injected] = ()
    recomputed: Recomputed = NOT_LOOKED
    memory: Mapping[str, Memory] = field(default_factory=dict)
    own_ends: Mapping[str, int] = field(default_factory=dict)
    crashes: Mapping[str, Sequence[float]] = field(default_factory=dict)
    not_injected: Sequence[str] = ()
    suspects: Suspects = NO_SUSPECTS
    skipped: Mapping[str, int] = field(default_factory=dict)

    @property
    def is_well(self) -> bool:
        return not self.findings


def fault_findings(injected: Sequence[Injected]) -> list[Finding]:
    """A fault from which the system did not recover, or that could not be injected."""
    found = [Finding(OTHER, f"{one.name} could not be injected: {one.error}") for one in injected if one.error]
    lasting = [one for one in injected if one.error is None and one.recovered is None and one.harm is not None]
    return found + [
        Finding(OTHER, f"no recovery from {one.name} ({one.harm and one.harm.victim}): {', '.join(one.standing[:6])}")
        for one in lasting
    ]


def table(outcome: Outcome) -> str:
    lines = [*_poison(outcome), "", *_faults(outcome), "", *_processes(outcome), "", *_findings(outcome)]
    return "\n".join(lines)


def last_line(outcome: Outcome) -> str:
    kinds = Counter(finding.kind for finding in outcome.findings)
    return json.dumps(
        {
            "items": len(outcome.items),
            "faults": sum(one.error is None for one in outcome.injected),
            "lost": kinds[LOST],
            "doubled": kinds[DOUBLED],
            "misjudged": kinds[MISJUDGED],
            "recomputed_ratio": round(outcome.recomputed.ratio, 4),
            "seconds": round(outcome.seconds, 1),
            "recomputed_unexplained": round(outcome.recomputed.unexplained, 4),
            "recomputed_needless": round(outcome.recomputed.needless, 4),
            "other": kinds[OTHER],
            "brokers": outcome.plan.brokers,
            "seed": outcome.plan.seed,
        }
    )


def _poison(outcome: Outcome) -> list[str]:
    """A column `wrong` that is not 0 is explained below."""
    kinds = Counter(item.kind for item in outcome.items)
    wrong = Counter(finding.text.partition(" ")[0] for finding in outcome.findings if finding.kind != OTHER)
    lines = [f"{'items':<14}{'number':>8}{'wrong':>8}   expected end"]
    for kind, number in sorted(kinds.items(), key=lambda pair: -pair[1]):
        expected = OF_KIND[kind].expected
        reason = f": {expected.stage} {expected.exception.rpartition('.')[2]} {expected.says}".rstrip()
        said = f"{expected.end.value}{reason if expected.stage else ''}"
        lines.append(f"{kind.value:<14}{number:>8}{wrong[kind.value]:>8}   {said}")
    return lines


def _faults(outcome: Outcome) -> list[str]:
    recovered: dict[str, list[float | None]] = defaultdict(list)
    for one in outcome.injected:
        if one.error is None:
            recovered[one.name].append(one.recovered)
    rows: list[tuple[str, Sequence[float | None]]] = sorted(recovered.items())
    rows += [(f"poison: {kind}", seconds) for kind, seconds in sorted(outcome.crashes.items())]
    lines = [f"{'fault':<28}{'times':>6}{'median s':>10}{'max s':>8}   to recover"]
    for name, seconds in rows:
        known = [one for one in seconds if one is not None]
        times = f"{median(known):>10.1f}{max(known):>8.1f}" if known else f"{'-':>10}{'-':>8}"
        never = len(seconds) - len(known)
        lines.append(f"{name:<28}{len(seconds):>6}{times}" + (f"   {never} NEVER" if never else ""))
    if outcome.not_injected:
        lines.append(f"not injected: {', '.join(outcome.not_injected)}")
    return lines


def _processes(outcome: Outcome) -> list[str]:
    lines = [f"{'process':<24}{'most MiB':>10}{'growth':>8}"]
    lines += [f"{name:<24}{one.highest / MIB:>10.0f}{one.growth:>8.2f}" for name, one in outcome.memory.items()]
    lines += [f"ended by itself and was started again: {name}, {count}x" for name, count in outcome.own_ends.items()]
    again, suspects = outcome.recomputed, outcome.suspects
    return [
        *lines,
        f"predicted again: {again.ratio:.4f} of {again.items} innocent items, {again.unexplained:.4f} without poison,",
        f"    {again.needless:.4f} without a fault either",
        f"in the predictor of a killed worker, and next in its successor's: {suspects.total}, {suspects.alone} alone",
        *(f"skipped of job {name}: {count}" for name, count in outcome.skipped.items()),
        f"everything ended and stored {outcome.drained_in:.1f} s after the first item",
    ]


def _findings(outcome: Outcome) -> list[str]:
    lines = []
    for kind in (LOST, DOUBLED, MISJUDGED, OTHER):
        mine = [finding for finding in outcome.findings if finding.kind == kind]
        lines += [f"{kind}: {finding.text}" for finding in mine[:TOLD]]
        if len(mine) > TOLD:
            lines.append(f"{kind}: and {len(mine) - TOLD} more")
    return lines or ["nothing is off"]
