"""What was asked for, how often each item has therefore to be where, and how a finding is told. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from tests.soak.items import OF_KIND, End, Planned

LOST, DOUBLED, MISJUDGED, OTHER = "lost", "doubled", "misjudged", "other"


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is off. `kind` is one of the four above."""

    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class Truth:
    """What was asked for: the items by their ids, each job's source's name by its id, and the items replayed."""

    items: Mapping[str, Planned]
    jobs: Mapping[str, str]
    replayed: frozenset[str] = frozenset()


def truth_of(drawn: Mapping[str, Sequence[Planned]], jobs: Mapping[str, str], replayed: Iterable[str] = ()) -> Truth:
    """`jobs` maps sources to job ids. An item of a job is called after it and its ordinal, another by its own name."""
    items = {}
    for name, planned in drawn.items():
        for item in planned:
            items[f"{jobs[name]}-{item.ordinal}" if name in jobs else item.name] = item
    return Truth(items, {job_id: name for name, job_id in jobs.items()}, frozenset(replayed))


@dataclass(frozen=True, slots=True)
class Wanted:
    """How often an item has to be on the topics."""

    published: int
    results: int
    dead: int

    @property
    def records(self) -> int:
        return self.results + self.dead


def wanted(truth: Truth, item_id: str) -> Wanted:
    """A dead letter that was replayed stays, and its item has ended once more: well, if its predictor was to blame."""
    item = truth.items[item_id]
    end = item.expected.end
    if item_id in truth.replayed:
        cured = int(OF_KIND[item.kind].curable)
        return Wanted(2, cured, 2 - cured)
    return Wanted(1, int(end is End.RESULT), int(end is End.DEAD))


def said(item_id: str, item: Planned) -> str:
    return f"{item.kind.value} item {item_id} of {item.source.name}"
