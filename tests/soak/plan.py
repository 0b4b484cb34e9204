"""What a run is: how many items, which seed, how long, which faults in which order. Pure."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random

from tests.soak.apis import SoakedApi

WINDOW = 40
"""First attempts that a worker's breaker looks back on."""


@dataclass(frozen=True, slots=True)
class Plan:
    """One run. Times in seconds.

    `duration`: how long the items keep the workers busy where nothing goes wrong. `faults`: how many are injected at
    most. `every`: the next fault comes so long after the last one began, recovered or not; None: once the system has
    recovered and a moment has passed, so that the time to recover is that fault's own. `busy`: no fault begins once
    this share of the items has ended, since one that hits an idle system shows little; None: all `faults` do.
    """

    seed: int
    items: int = 20_000
    duration: float = 240.0
    faults: int = 1_000
    brokers: int = 3
    every: float | None = None
    only: tuple[str, ...] = ()
    session_timeout: float = 6.0
    patience: float = 180.0
    busy: float | None = 0.9

    def pause(self, api: SoakedApi) -> float:
        """What the API's predictor takes for one item."""
        return min(0.2, self.duration * api.workers / (self.items * api.share))


def plan_of(environ: Mapping[str, str] = os.environ) -> Plan:
    """ITEMS, SEED, DURATION, FAULTS, BROKERS, EVERY and ONLY (names of faults, by comma)."""
    seed = int(environ.get("SEED") or Random().randrange(10**8))
    every = environ.get("EVERY")
    return Plan(
        seed=seed,
        items=int(environ.get("ITEMS") or 20_000),
        duration=float(environ.get("DURATION") or 240),
        faults=int(environ.get("FAULTS") or 1_000),
        brokers=int(environ.get("BROKERS") or 3),
        every=float(every) if every else None,
        only=tuple(name for name in (environ.get("ONLY") or "").split(",") if name),
    )


def schedule(seed: int, names: Sequence[str]) -> Iterator[str]:
    """Faults without an end: all of them in a new order each round."""
    chance = Random(f"faults {seed}")
    while names:
        round_ = list(names)
        chance.shuffle(round_)
        yield from round_
