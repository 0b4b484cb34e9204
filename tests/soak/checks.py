"""What has to be true of the evidence. Pure: each check says what is wrong, in words, and else nothing."""

import json
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import replace

from stream_infer.jobs.status import JobStatus, State
from stream_infer.records import REFERENCE, Item
from tests.soak.attempts import check_attempts, check_delays, predicted_late
from tests.soak.evidence import Evidence
from tests.soak.items import OF_KIND, End, Expected, Planned, Source, mark_of
from tests.soak.objects import check_objects
from tests.soak.truth import DOUBLED, LOST, MISJUDGED, OTHER, Finding, Truth, Wanted, said, wanted

LATE = 5
"""Items of a stopped job that are begun late, though none is skipped."""
LINES_KEPT = 0.5
"""Of a job's log, at least. A process that is killed takes its last lines with it."""


def check_all(truth: Truth, found: Evidence) -> list[Finding]:
    return [
        *check_items(truth, found),
        *check_attempts(truth, found),
        *check_delays(truth, found),
        *check_strangers(truth, found),
        *check_jobs(truth, found),
        *check_hooks(truth, found),
        *check_objects(truth, found),
        *check_job_logs(truth, found),
        *check_lags(found),
        *check_logs(found),
    ]


def check_items(truth: Truth, found: Evidence) -> Iterator[Finding]:
    """Every item ended exactly once, and in the way that is its own."""
    called = {name for call in found.calls for name in call.names}
    for item_id, item in truth.items.items():
        asked, published = wanted(truth, item_id), len(found.published[item_id])
        results, dead = len(found.results.get(item_id, ())), len(found.dead.get(item_id, ()))
        skippable = item.source.is_cut_short
        if published > asked.published or (published < asked.published and not skippable):
            kind = DOUBLED if published > asked.published else LOST
            yield Finding(kind, f"{said(item_id, item)} was published {published} times, not {asked.published}")
        if results + dead > max(1, asked.records):
            yield Finding(DOUBLED, f"{said(item_id, item)} ended {results + dead} times")
        elif results + dead < asked.records and not skippable:
            yield Finding(
                LOST, f"{said(item_id, item)} did not end, or not again: {results} results, {dead} dead letters"
            )
        elif asked.records == 0 and item.name not in called:
            yield Finding(LOST, f"{said(item_id, item)} was never predicted")
        elif wrong := _misjudgement(item_id, item, asked, found):
            yield Finding(MISJUDGED, f"{said(item_id, item)} {wrong}")


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
        trace = OF_KIND[item.kind].trace.format(name=item.name)
        if trace not in reason.stacktrace:
            return f"has a dead letter whose stack, or end of stderr, lacks {trace!r}: {reason.stacktrace[-200:]!r}"
    for result in results:
        if _answer(result, found) != item.answer():
            return f"has the result {(result.message.value or b'')[:80]!r}"
    if results and len(results) != asked.results:
        return f"has {len(results)} results and {len(letters)} dead letters, and not {asked.results} and {asked.dead}"
    return _stripped(item_id, [*results, *(letter.item for letter in letters)], found)


def _answer(result: Item, found: Evidence) -> object:
    """Without the part that makes an answer too big."""
    data = result.message.value or b""
    if result.content_type == REFERENCE:
        _, _, key = json.loads(data)["uri"].partition("/_payloads/")
        answer = found.stored.get(f"_payloads/{key}")
    else:
        answer = json.loads(data)
    return {name: value for name, value in answer.items() if name != "rest"} if isinstance(answer, dict) else answer


def _stripped(item_id: str, ends: list[Item], found: Evidence) -> str:
    """Key, source and ids have to come through as they were published."""
    given = [_bearing(item) for item in found.published[item_id]]
    for end in ends:
        if _bearing(end) not in given:
            return f"came out as {_bearing(end)}, and went in as {given}"
    return ""


def _bearing(item: Item) -> tuple[object, ...]:
    return item.message.key, item.source, item.custom_id, item.job_id, item.generation


def check_strangers(truth: Truth, found: Evidence) -> Iterator[Finding]:
    """Nothing came out that did not go in, and no job's hook was asked for twice."""
    for (job_id, generation), times in found.hooks.items():
        if times > 1:
            yield Finding(OTHER, f"the hook of job {job_id} was asked for {times} times in generation {generation}")
    for place in (found.published, found.results, found.dead):
        for item_id in place:
            if item_id not in truth.items and place[item_id]:
                yield Finding(OTHER, f"nobody submitted {item_id}")


def check_jobs(truth: Truth, found: Evidence) -> Iterator[Finding]:
    """Counts equal to reality, and one final state a generation."""
    for job_id, name in truth.jobs.items():
        items = {item_id: item for item_id, item in truth.items.items() if item.source.name == name}
        status = found.final(job_id)
        if status is None or not status.state.is_final:
            yield Finding(OTHER, f"job {name} ({job_id}) is not final: {status and status.state}")
            continue
        source = next(iter(items.values())).source
        dead = sum(len(found.dead.get(item_id, ())) for item_id in items)
        written = dead + sum(len(found.results.get(item_id, ())) for item_id in items)
        silent = sum(item.expected.end is End.NOTHING for item in items.values())
        enqueued = sum(bool(found.published[item_id]) for item_id in items)
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
        expected = _final_state(source, remaining=dead - reopened)
        if status.state is not expected:
            yield Finding(OTHER, f"job {name} is {status.state}, not {expected}, with {told}, errors {status.errors}")
        yield from _check_history(name, found, job_id, generations=1 + bool(reopened))
        yield from _check_skipped(items.values(), found, found.statuses[job_id])


def check_hooks(truth: Truth, found: Evidence) -> Iterator[Finding]:
    """Where a predictor has an `on_job_complete`, each job that ends in order asks for it, in each of its generations.

    It runs then: once, or again where its worker was hurt before it could say so.
    """
    for job_id, name in truth.jobs.items():
        mine = [(item_id, item) for item_id, item in truth.items.items() if item.source.name == name]
        source = mine[0][1].source
        generations = 1 + any(item_id in truth.replayed for item_id, _ in mine)
        asked = sum(found.hooks[job_id, generation] for generation in range(1, 1 + generations))
        wanted_times = generations if source.api.hooks and not source.is_cut_short else 0
        if asked != wanted_times:
            yield Finding(OTHER, f"the hook of job {name} was asked for {asked} times, not {wanted_times}")
        elif found.completed[job_id] < wanted_times:
            yield Finding(OTHER, f"the hook of job {name} ran {found.completed[job_id]} times, not {wanted_times}")


def _final_state(source: Source, remaining: int) -> State:
    if source.stopped:
        return State.STOPPED
    if source.broken:
        return State.FAILED
    return State.COMPLETED_WITH_FAILURES if remaining else State.SUCCEEDED


def _check_skipped(items: Collection[Planned], found: Evidence, rows: list[JobStatus]) -> Iterator[Finding]:
    """What waits when a job is stopped is skipped, and not predicted all the same."""
    source = next(iter(items)).source
    if rows[-1].counts.skipped:
        return
    if source.broken:
        yield Finding(OTHER, f"job {source.name}: none of its items was skipped though they all fail")
    stopped_at = rows[-1].times.get(State.STOPPING)
    if source.stopped and stopped_at is not None:
        late = predicted_late(found.calls, frozenset(item.name for item in items), stopped_at)
        if late >= LATE:
            yield Finding(OTHER, f"job {source.name}: none of its items was skipped; {late} ran long after its stop")


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


def check_job_logs(truth: Truth, found: Evidence) -> Iterator[Finding]:
    """What the predictor prints of an item is in its job's log. Over all jobs: a small one says too little."""
    called = {name for call in found.calls for name in call.names}
    marked = [
        (item_id.rpartition("-")[0], mark)
        for item_id, item in truth.items.items()
        if item.source.is_job and item.name in called and (mark := mark_of(item))
    ]
    kept = sum(mark in found.lines.get(job_id, ()) for job_id, mark in marked)
    if kept < LINES_KEPT * len(marked):
        yield Finding(OTHER, f"of {len(marked)} lines that the predictor printed {kept} are in their jobs' logs")


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
