"""What has to be true of the evidence. Pure: each check says what is wrong, in words, and else nothing."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from stream_infer.jobs.manifest import MANIFEST_NAME, SUCCESS_NAME, job_folder
from stream_infer.jobs.status import State
from stream_infer.records import REFERENCE, Item
from tests.soak.evidence import Evidence
from tests.soak.faults import API
from tests.soak.items import OF_KIND, SPOILING, End, Expected, Kind, Planned

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


def check_all(truth: Truth, found: Evidence) -> list[Finding]:
    return [
        *check_items(truth, found),
        *check_strangers(truth, found),
        *check_jobs(truth, found),
        *check_objects(truth, found),
        *check_lags(found),
        *check_logs(found),
    ]


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


def check_items(truth: Truth, found: Evidence) -> Iterator[Finding]:
    """Every item ended exactly once, and in the way that is its own."""
    called = {name for call in found.calls for name in call.names}
    for item_id, item in truth.items.items():
        asked, published = wanted(truth, item_id), found.published[item_id]
        results, dead = len(found.results.get(item_id, ())), len(found.dead.get(item_id, ()))
        skippable = item.source.stopped
        if published > asked.published or (published < asked.published and not skippable):
            kind = DOUBLED if published > asked.published else LOST
            yield Finding(kind, f"{_said(item_id, item)} was published {published} times, not {asked.published}")
        if results + dead > max(1, asked.records):
            yield Finding(DOUBLED, f"{_said(item_id, item)} ended {results + dead} times")
        elif results + dead < asked.records and not skippable:
            yield Finding(
                LOST, f"{_said(item_id, item)} did not end, or not again: {results} results, {dead} dead letters"
            )
        elif asked.records == 0 and item.name not in called:
            yield Finding(LOST, f"{_said(item_id, item)} was never predicted")
        elif wrong := _misjudgement(item_id, item, asked, found):
            yield Finding(MISJUDGED, f"{_said(item_id, item)} {wrong}")


def _misjudgement(item_id: str, item: Planned, asked: Wanted, found: Evidence) -> str:
    results, letters = found.results.get(item_id, []), found.dead.get(item_id, [])
    for letter in letters:
        expected, reason = item.expected, letter.failure
        got = Expected(End.DEAD, reason.stage.value, reason.exception, reason.message, letter.item.attempt)
        if replace(got, says="") != replace(expected, says="") or expected.says not in got.says:
            return (
                f"was rejected for {got.stage} {got.exception}: {got.says[:200]!r} at attempt {got.attempt}; it has to "
                f"end as {expected.end}, {expected.stage} {expected.exception}: {expected.says!r} at {expected.attempt}"
            )
    for result in results:
        if _answer(result, found) != item.answer():
            return f"has the result {(result.message.value or b'')[:80]!r}"
    if results and len(results) != asked.results:
        return f"has {len(results)} results and {len(letters)} dead letters, and not {asked.results} and {asked.dead}"
    return ""


def _answer(result: Item, found: Evidence) -> object:
    """Without the part that makes an answer too big."""
    data = result.message.value or b""
    if result.content_type == REFERENCE:
        _, _, key = json.loads(data)["uri"].partition("/_payloads/")
        answer = found.stored.get(f"_payloads/{key}")
    else:
        answer = json.loads(data)
    return {name: value for name, value in answer.items() if name != "rest"} if isinstance(answer, dict) else answer


def check_strangers(truth: Truth, found: Evidence) -> Iterator[Finding]:
    """Nothing came out that did not go in."""
    for place in (found.published, found.results, found.dead):
        for item_id in place:
            if item_id not in truth.items:
                yield Finding(OTHER, f"nobody submitted {item_id}")


def check_jobs(truth: Truth, found: Evidence) -> Iterator[Finding]:
    """Counts equal to reality, and one final state a generation."""
    for job_id, name in truth.jobs.items():
        items = {item_id: item for item_id, item in truth.items.items() if item.source.name == name}
        status = found.final(job_id)
        if status is None or not status.state.is_final:
            yield Finding(OTHER, f"job {name} ({job_id}) is not final: {status and status.state}")
            continue
        stopped = next(iter(items.values())).source.stopped
        dead = sum(len(found.dead.get(item_id, ())) for item_id in items)
        written = dead + sum(len(found.results.get(item_id, ())) for item_id in items)
        silent = sum(item.expected.end is End.NOTHING for item in items.values())
        enqueued = sum(found.published[item_id] > 0 for item_id in items)
        reopened = sum(item_id in truth.replayed for item_id in items)
        ended = written - reopened
        counts = status.counts
        reality = {
            "enqueued": enqueued,
            "succeeded": written - dead + silent,
            "rejected": dead - reopened,
            "skipped": enqueued - ended - silent,
            "reopened": reopened,
            "written": written,
            "sunk": written,
        }
        told = {field: getattr(counts, field) for field in reality}
        if told != reality:
            yield Finding(OTHER, f"job {name}: the status counts {told}, and there are {reality}")
        state = State.COMPLETED_WITH_FAILURES if dead > reopened else State.SUCCEEDED
        if status.state is not (State.STOPPED if stopped else state):
            yield Finding(OTHER, f"job {name} is {status.state}, with {told}, errors {status.errors}")
        yield from _check_history(name, found, job_id, generations=1 + bool(reopened))


def _check_history(name: str, found: Evidence, job_id: str, *, generations: int) -> Iterator[Finding]:
    """One webhook-worthy completion: a row that is final follows one that is not, once a generation."""
    rows = found.statuses[job_id]
    before = [None, *rows[:-1]]
    entered = Counter(
        row.generation
        for last, row in zip(before, rows, strict=True)
        if row.state.is_final and (last is None or not last.state.is_final or last.generation != row.generation)
    )
    left = [row for last, row in zip(before, rows, strict=True) if last and last.state.is_final and row != last]
    if entered != Counter(range(1, generations + 1)):
        yield Finding(OTHER, f"job {name} was final this often in its generations: {dict(entered)}")
    if len(left) >= generations:
        yield Finding(OTHER, f"job {name} changed after it was final, to {left[0].state} {left[0].counts}")


def check_objects(truth: Truth, found: Evidence) -> Iterator[Finding]:
    """What lies in the store is what came out, once, and nothing else."""
    named: set[str] = set(found.recorded)
    for job_id, name in truth.jobs.items():
        folder = job_folder(API, job_id)
        manifest = found.manifests.get(job_id)
        if manifest is None:
            yield Finding(OTHER, f"job {name} has no {MANIFEST_NAME}")
            continue
        keys = [record.key for record in manifest.objects]
        named |= {*keys, folder + MANIFEST_NAME, f"_submissions/{job_id}.jsonl"}
        missing = [key for key in keys if key not in found.objects]
        if missing:
            yield Finding(OTHER, f"job {name}: its manifest names what is not there: {missing[:3]}")
        if manifest.cause is None:
            named.add(folder + SUCCESS_NAME)
            if folder + SUCCESS_NAME not in found.objects:
                yield Finding(OTHER, f"job {name} has no {SUCCESS_NAME}")
        ids = [item_id for item_id, item in truth.items.items() if item.source.name == name]
        yield from _compare(f"job {name}", truth, found, ids, keys, trimmed=True)
    stream = [key for key in found.objects if key.startswith("stream/") and not key.startswith("stream/_pending/")]
    named |= set(stream) | set(found.stored)
    ids = [item_id for item_id, item in truth.items.items() if not item.source.is_job]
    yield from _compare("the stream", truth, found, ids, stream)
    orphans = sorted(set(found.objects) - named)
    if orphans:
        yield Finding(OTHER, f"{len(orphans)} objects that nothing names: {orphans[:5]}")


def _compare(
    what: str, truth: Truth, found: Evidence, ids: Iterable[str], keys: Iterable[str], *, trimmed: bool = False
) -> Iterator[Finding]:
    """`trimmed`: errors that were replayed are left out."""
    records = Counter({one: len(found.results.get(one, ())) + len(found.dead.get(one, ())) for one in ids})
    if trimmed:
        records -= Counter(one for one in records if one in truth.replayed)
    lines = (line for key in keys for line in found.objects.get(key, b"").splitlines())
    stored = Counter(str(json.loads(line)["item_id"]) for line in lines)
    less, more = +(records - stored), +(stored - records)
    if less:
        yield Finding(LOST, f"{what}: {less.total()} records are in no object, {list(less)[:3]} among them")
    if more:
        yield Finding(DOUBLED, f"{what}: objects hold {more.total()} records too many, {list(more)[:3]} among them")


def check_lags(found: Evidence) -> Iterator[Finding]:
    for group, lag in found.lags.items():
        if lag:
            yield Finding(OTHER, f"group {group} lags by {lag}")


def check_logs(found: Evidence) -> Iterator[Finding]:
    for name, text in found.logs.items():
        tracebacks = text.count("Traceback (most recent call last)")
        if tracebacks:
            place = text.index("Traceback (most recent call last)")
            yield Finding(OTHER, f"{name}.log has {tracebacks} tracebacks; the first: {text[place : place + 1500]}")


@dataclass(frozen=True, slots=True)
class Recomputed:
    """Extra predictions of items that are no poison, over those items. `unexplained`: by no spoiled call."""

    ratio: float
    unexplained: float
    items: int


def recomputed(truth: Truth, found: Evidence) -> Recomputed:
    """An item whose call fails for its neighbour's sake has to be predicted again; for anything else it need not be."""
    kinds = {item.name: item.kind for item in truth.items.values()}
    innocent = {name for name, kind in kinds.items() if kind in (Kind.GOOD, Kind.REFERENCE)}
    calls: Counter[str] = Counter()
    spoiled: Counter[str] = Counter()
    for call in found.calls:
        mine = [name for name in call.names if name in innocent]
        calls.update(mine)
        if any(kinds.get(name) in SPOILING for name in call.names):
            spoiled.update(mine)
    extra = sum(count - 1 for count in calls.values())
    unexplained = sum(max(0, count - 1 - spoiled[name]) for name, count in calls.items())
    total = max(1, len(innocent))
    return Recomputed(extra / total, unexplained / total, len(innocent))


def _said(item_id: str, item: Planned) -> str:
    return f"{item.kind.value} item {item_id} of {item.source.name}"
