"""Which item is what, and how each has to end. Pure: everything follows from the seed and the number of items.

A kind of poison is one entry of `SPECIES`, and one function of tests/predictors/soaking.py where the predictor is to
act on it.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from random import Random
from typing import Any

from tests.soak.apis import APIS, NATIVE, SoakedApi

MAX_ATTEMPTS = 3
DELAYS = (0.5, 1.0)
"""Of the retry tiers, in seconds."""
RETRY_AFTER_S = 1.5
"""What a throttled item is told: longer than the first tier's delay, so that it costs no attempt."""
MARK_EVERY = 7
CURED_FILE = "cured"
"""Where it is in a run's folder, the predictor is mended: what it failed with before it answers like any other item."""


class Kind(StrEnum):
    GOOD = "good"
    REFERENCE = "reference"
    OVERSIZE = "oversize"
    NONE = "none"
    UNDECODABLE = "undecodable"
    RAISING = "raising"
    ITEM_ERROR = "item-error"
    SEGFAULT = "segfault"
    ABORT = "abort"
    EXIT = "exit"
    HANG = "hang"
    MEMORY = "memory"
    TRANSIENT = "transient"
    HOPELESS = "hopeless"
    THROTTLED = "throttled"
    MISSING = "missing"
    EXPIRED = "expired"
    BROKEN = "broken"


class End(StrEnum):
    RESULT = "a result"
    DEAD = "a dead letter"
    NOTHING = "no record"


@dataclass(frozen=True, slots=True)
class Expected:
    """How an item has to end. Of a dead letter: stage, exception class, words of its message, and its attempt."""

    end: End
    stage: str = ""
    exception: str = ""
    says: str = ""
    attempt: int = 1


class Form(StrEnum):
    """How items come in. Not every kind can come in every way."""

    JSONL = "a JSONL file"
    S3 = "a JSONL file on S3"
    INLINE = "in the request"
    DIRECTORY = "a directory"
    STREAM = "straight into the topic"


LINES = frozenset({Form.JSONL, Form.S3, Form.STREAM})
JSON = LINES | {Form.INLINE}
ANYWHERE = JSON | {Form.DIRECTORY}


@dataclass(frozen=True, slots=True)
class Species:
    """`share` of all items are of the kind, at most `most`, at least one.

    `spoils`: the whole call fails with it. `curable`: it has a result when it is replayed later. `trace`: what the
    stack, or the end of stderr, in its dead letter holds. `retried`: the attempts for which it passes a retry tier.
    """

    kind: Kind
    share: float
    expected: Expected
    forms: frozenset[Form] = JSON
    most: int | None = None
    spoils: bool = False
    curable: bool = False
    on: bool = True
    trace: str = ""
    retried: frozenset[int] = frozenset()


def _dead(stage: str, exception: str, says: str = "", attempt: int = 1) -> Expected:
    return Expected(End.DEAD, stage, exception, says, attempt)


_RESULT = Expected(End.RESULT)
_ATTEMPTS = frozenset(range(2, MAX_ATTEMPTS + 1))
_TAIL = "{name} is about to"
_RETRYABLE = "stream_infer.errors.RetryableError"
_CRASH = "stream_infer.engine.isolation.PredictorCrashed"
_TIMED_OUT = "stream_infer.engine.isolation.PredictorTimedOut"
_UNDECODABLE = "stream_infer.errors.UndecodableItem"
_REFUSED = "stream_infer.errors.RefusedItem"

# Each of the kinds that end the predictor's process costs two starts of it: they are few, however many items there are.
SPECIES = (
    Species(Kind.REFERENCE, 0.01, _RESULT, frozenset({Form.DIRECTORY, Form.STREAM})),
    Species(Kind.OVERSIZE, 0.002, _RESULT, most=20),
    Species(Kind.NONE, 0.02, Expected(End.NOTHING), JSON - {Form.STREAM}),
    Species(Kind.UNDECODABLE, 0.01, _dead("decode", _UNDECODABLE), LINES | {Form.DIRECTORY}),
    Species(
        Kind.RAISING,
        0.005,
        _dead("predict", "ValueError", "this item raises", MAX_ATTEMPTS),
        spoils=True,
        curable=True,
        trace="in _raise",
        retried=_ATTEMPTS,
    ),
    Species(
        Kind.ITEM_ERROR, 0.01, _dead("predict", "stream_infer.errors.ItemError", "this item is refused"), curable=True
    ),
    Species(Kind.SEGFAULT, 0.001, _dead("predict", _CRASH, "SIGSEGV"), most=10, spoils=True, curable=True, trace=_TAIL),
    Species(Kind.ABORT, 0.001, _dead("predict", _CRASH, "SIGABRT"), most=10, spoils=True, curable=True, trace=_TAIL),
    Species(Kind.EXIT, 0.001, _dead("predict", _CRASH, "status 3"), most=10, spoils=True, curable=True, trace=_TAIL),
    Species(Kind.HANG, 0.001, _dead("predict", _TIMED_OUT, "hung for"), most=8, spoils=True, curable=True, trace=_TAIL),
    Species(Kind.MEMORY, 0.002, _dead("predict", "MemoryError"), most=20, spoils=True, curable=True, trace="in _eat"),
    Species(Kind.TRANSIENT, 0.01, _RESULT, retried=_ATTEMPTS),
    Species(
        Kind.HOPELESS,
        0.003,
        _dead("predict", _RETRYABLE, "never works", MAX_ATTEMPTS),
        most=100,
        curable=True,
        retried=_ATTEMPTS,
    ),
    Species(Kind.THROTTLED, 0.003, _RESULT, most=100, retried=frozenset({1})),
    Species(Kind.MISSING, 0.005, _dead("fetch", _REFUSED), frozenset({Form.DIRECTORY, Form.STREAM})),
    Species(Kind.EXPIRED, 0.005, _dead("fetch", "stream_infer.DeadlinePassed"), frozenset({Form.STREAM}), curable=True),
)
OF_KIND = {species.kind: species for species in SPECIES} | {
    Kind.GOOD: Species(Kind.GOOD, 1.0, _RESULT, ANYWHERE),
    Kind.BROKEN: Species(Kind.BROKEN, 0.0, _dead("predict", "stream_infer.errors.ItemError", "this item is broken")),
}
SPOILING = frozenset(species.kind for species in SPECIES if species.spoils)


@dataclass(frozen=True, slots=True)
class Source:
    """Items that come in together. `stopped`: a job that its owner stops, so that some of it is skipped.

    `broken`: a job of nothing but bad items, which is failed for that, and its rest is skipped.
    """

    name: str
    form: Form
    size: int
    stopped: bool = False
    broken: bool = False
    api: SoakedApi = NATIVE

    @property
    def is_cut_short(self) -> bool:
        return self.stopped or self.broken

    @property
    def is_job(self) -> bool:
        return self.form is not Form.STREAM


@dataclass(frozen=True, slots=True)
class Planned:
    """One item. `name` is its own in payload and result; in the stream also its id."""

    source: Source
    ordinal: int
    kind: Kind

    @property
    def name(self) -> str:
        return f"{self.source.name}-{self.ordinal}"

    @property
    def expected(self) -> Expected:
        return OF_KIND[self.kind].expected

    def payload(self) -> dict[str, Any]:
        return {"name": self.name, "n": self.ordinal, "kind": self.kind.value}

    def line(self) -> bytes:
        """Its payload as bytes; that of an undecodable one is JSON that breaks off."""
        data = json.dumps(self.payload()).encode()
        return data[:-2] if self.kind is Kind.UNDECODABLE else data

    def answer(self) -> dict[str, Any]:
        """What the predictor has to say of it."""
        return {"name": self.name, "twice": self.ordinal * 2}


def mark_of(item: Planned) -> str | None:
    """What the predictor prints of every so manyth item."""
    return f"this is {item.name}" if item.ordinal % MARK_EVERY == 0 else None


BROKEN_JOB = Source("broken", Form.INLINE, 400, broken=True)
"""Comes in by itself, once all else has ended: it has to be most of what each worker has seen of late."""


def broken_items() -> list[Planned]:
    return [Planned(BROKEN_JOB, ordinal, Kind.BROKEN) for ordinal in range(BROKEN_JOB.size)]


def sources(items: int) -> list[Source]:
    """Of each API: jobs of different sizes, one of them stopped half-way, and a stream of items that belong to none.

    Their order is that in which the jobs are submitted: those of all APIs by turns.
    """
    by_api = [_sources_of(api, int(items * api.share)) for api in APIS]
    return [source for turn in zip(*by_api, strict=True) for source in turn]


def _sources_of(api: SoakedApi, items: int) -> list[Source]:
    shares = {"big": (Form.JSONL, 0.4), "middle": (Form.S3, 0.15), "small": (Form.INLINE, 0.05)}
    jobs = [Source(api.prefix + name, form, max(5, int(items * of)), api=api) for name, (form, of) in shares.items()]
    # Of a smaller one the workers have all at hand by the time it is stopped.
    jobs.append(Source(f"{api.prefix}stopped", Form.INLINE, max(120, items // 10), stopped=True, api=api))
    jobs.append(Source(f"{api.prefix}files", Form.DIRECTORY, max(10, min(200, items // 50)), api=api))
    streamed = max(20, items - sum(job.size for job in jobs))
    return [*jobs, Source(f"{api.prefix}stream", Form.STREAM, streamed, api=api)]


def draw(seed: int, found: Sequence[Source]) -> dict[str, list[Planned]]:
    """Every source's items in their order. Each API has every kind."""
    chance = Random(f"items {seed}")
    kinds: dict[str, list[Kind]] = {source.name: [] for source in found}
    for api in APIS:
        mine = [source for source in found if source.api is api]
        total = sum(source.size for source in mine)
        for species in SPECIES if mine else ():
            if species.on:
                for name in _places(species, total, mine, chance):
                    kinds[name].append(species.kind)
    return {source.name: _fill(source, kinds[source.name], chance) for source in found}


def _places(species: Species, total: int, found: Sequence[Source], chance: Random) -> list[str]:
    count = max(1, round(species.share * total))
    count = count if species.most is None else min(count, species.most)
    fit = [source for source in found if source.form in species.forms and not source.stopped]
    return chance.choices([source.name for source in fit], [source.size for source in fit], k=count)


def _fill(source: Source, special: list[Kind], chance: Random) -> list[Planned]:
    harmless = Kind.REFERENCE if source.form is Form.DIRECTORY else Kind.GOOD
    special = special[: source.size]
    kinds = special + [harmless] * (source.size - len(special))
    chance.shuffle(kinds)
    return [Planned(source, ordinal, kind) for ordinal, kind in enumerate(kinds)]


def by_name(drawn: Mapping[str, Sequence[Planned]]) -> dict[str, Planned]:
    return {item.name: item for items in drawn.values() for item in items}
