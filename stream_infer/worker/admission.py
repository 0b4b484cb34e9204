"""From a record that was read to the stage that it needs next: its end, the fetch, the predictor, or a wait."""

from __future__ import annotations

from collections.abc import Callable, Collection, Container, Iterable, Sequence
from functools import partial
from itertools import chain
from typing import Protocol

from stream_infer.alike import Alike, read_alike
from stream_infer.engine.task import AlikeTasks, Task
from stream_infer.headers import ORDINARY_REST, REST, read_item
from stream_infer.ports import Reference
from stream_infer.records import REFERENCE, Failure, Item, Payload, Run, new_tuple
from stream_infer.topics import ApiTopics
from stream_infer.worker.fetch import FetchStage
from stream_infer.worker.held import SKIPPED, Ended, Entry, Partition, Prefix, Skipped
from stream_infer.worker.journal import Suspects
from stream_infer.worker.known_jobs import KnownJobs
from stream_infer.worker.ledger import Ledger
from stream_infer.worker.outcomes import Outcomes
from stream_infer.worker.retry import Retried, again
from stream_infer.worker.scopes import Scopes
from stream_infer.worker.shape import ShapeStage
from stream_infer.worker.shapings import Shapings, joined_instead_of
from stream_infer.worker.triage import DEADLINE_PASSED, Moment, RunHook, Wait, WaitUntil, triage
from stream_infer.worker.unknown_jobs import UnknownJobs
from stream_infer.worker.waiting import Waiting

# Of a stretch, in items and in bytes of payload. Fewer are held one by one: each stretch has a price of its own.
_SHORTEST, _LONGEST, _LARGEST = 8, 1024, 256 * 1024


class Gate(Protocol):
    """Whether the predictor takes items: all, or the one of this token; and the way back of those of some jobs."""

    @property
    def is_serving(self) -> bool: ...

    def admits(self, token: int) -> bool: ...

    def take_back(self, job_ids: Container[str]) -> None: ...


class Admission:
    """Judges each item once it is in the ledger, and again whenever what it waits for has come. One thread uses it."""

    def __init__(
        self,
        ledger: Ledger,
        waiting: Waiting,
        outcomes: Outcomes,
        fetch: FetchStage,
        shape: ShapeStage,
        *,
        jobs: KnownJobs,
        shapings: Shapings,
        topics: ApiTopics,
        suspects: Suspects,
        gate: Gate,
        scopes: Scopes | None = None,
    ) -> None:
        self._ledger = ledger
        self._waiting = waiting
        self._outcomes = outcomes
        self._fetch = fetch
        self._shape = shape
        self._jobs = jobs
        self._shapings = shapings
        self._topics = topics
        self._suspects = suspects
        self._gate = gate
        self._scopes = scopes
        self._unknown = UnknownJobs(jobs, ledger)
        self._tiers: dict[str, int | None] = {}
        self._ended_early: dict[Partition, int] = {}

    def admit(self, runs: Iterable[Run], now: float) -> list[Sequence[Task]]:
        """Takes records into the ledger; answers what the predictor can begin with. `now` since the epoch."""
        begun: list[Sequence[Task]] = []
        unknown: list[Entry] = []
        moment = Moment(now, jobs_are_current=False, is_serving=self._gate.is_serving)
        # Most items are for the predictor at once: what may not be is judged one by one.
        is_for_predictor = self._is_for_predictor()
        scopes = self._scopes
        is_open = moment.is_serving and not self._suspects
        for run in chain.from_iterable(one.split(_LONGEST, _LARGEST) for one in runs):
            is_first = is_open and self._tier_of(run.topic) is None
            alike = read_alike(run) if is_first and scopes is None and len(run.offsets) >= _SHORTEST else None
            if alike is not None and is_for_predictor(read_item(run.first)):
                begun += self._admit_alike(run, alike)
                continue
            tasks: list[Task] = []
            for entry in self._ledger.admit((run.topic, run.partition), map(read_item, run.messages())):
                item = entry.item
                if is_first and item is not None and item[REST:] == ORDINARY_REST and is_for_predictor(item):
                    payload = new_tuple(Payload, (item.message.value or b"", item.content_type))
                    if scopes is None:
                        tasks.append(new_tuple(Task, (entry.token, payload, None, None, False, "")))
                    else:
                        tasks.append(self._task(entry.token, item, payload))
                elif not self._route(entry, tasks, moment):
                    unknown.append(entry)
            begun.append(tasks)
        self._unknown.add(unknown)
        return begun

    def _admit_alike(self, run: Run, alike: Alike) -> list[Sequence[Task]]:
        stretch = self._ledger.admit_alike(run, alike)
        if stretch is None:
            return []
        tokens = list(range(stretch.first, stretch.first + stretch.length))
        return [AlikeTasks(tokens, [value or b"" for value in run.values], alike.content_type)]

    def _is_for_predictor(self) -> Callable[[Item], bool]:
        """Whether an item without retries, deadlines and the like goes to it as it is; each job is looked up once."""
        jobs: dict[tuple[str, int], bool] = {}
        without_job = self._shapings.of(None) is None

        def is_for_it(item: Item) -> bool:
            if item.content_type == REFERENCE:
                return False
            job_id = item.job_id
            if job_id is None:
                return without_job
            goes_on = jobs.get((job_id, item.generation))
            if goes_on is None:
                is_plain = self._jobs.is_known(job_id) and self._shapings.of(job_id) is None
                goes_on = is_plain and not self._jobs.is_skipping(item)
                jobs[job_id, item.generation] = goes_on
            return goes_on

        return is_for_it

    def advance(self, now: float) -> list[Task]:
        """What has become ready since: payloads that were fetched, items that are due or whose job is known now."""
        tasks: list[Task] = []
        self._judge(self._unknown.take(), tasks, now)
        self._judge(self._waiting.due(now), tasks, now)
        ending = self._jobs.ending.take()
        if ending:
            self._gate.take_back(ending)
            self._judge(self._waiting.of_jobs(ending), tasks, now)
        for fetched in self._fetch.take():
            self._take_payload(fetched.token, fetched.outcome, now, partial(self._take_fetched, tasks=tasks))
        for shaped in self._shape.take_inputs():
            self._take_payload(shaped.token, shaped.outcome, now, partial(self._take_shaped, tasks=tasks))
        if self._gate.is_serving:
            self._clear_the_way()
        return tasks

    def _take_payload(
        self, token: int, outcome: Payload | Failure, now: float, go_on: Callable[[Entry, Payload], None]
    ) -> None:
        """What a stage before the predictor has brought: on with it, if the predictor takes it now."""
        entry = self._ledger.get(token)
        if entry is None:
            return
        match outcome:
            case Payload() if entry.item is not None and self._jobs.is_skipping(entry.item):
                self._ledger.finish(token, SKIPPED)
            case Payload() as payload if self._gate.admits(token):
                go_on(entry, payload)
            case Failure() as failure if self._gate.is_serving:
                self._outcomes.fail(entry, failure, now)
            case _:
                self._waiting.hold(entry, self._jobs.is_skipping)

    def _take_fetched(self, entry: Entry, payload: Payload, tasks: list[Task]) -> None:
        self._ledger.resize(entry, len(payload.data))
        self._go_on(entry, payload, tasks)

    def _take_shaped(self, entry: Entry, payload: Payload, tasks: list[Task]) -> None:
        self._ledger.resize(entry, entry.held_input + len(payload.data))
        self._predict(entry, payload, tasks)

    def release(self, entries: Iterable[Entry], now: float, *, one: bool = False) -> list[Task]:
        """Judges entries that waited for the predictor; `one`: as if it served, to find out whether it does."""
        tasks: list[Task] = []
        moment = Moment(now, jobs_are_current=True, is_serving=one or self._gate.is_serving)
        for entry in self._waiting.release(entries):
            self._route(entry, tasks, moment)
        return tasks

    def _judge(self, entries: Iterable[Entry], tasks: list[Task], now: float) -> None:
        moment = Moment(now, jobs_are_current=True, is_serving=self._gate.is_serving)
        for entry in entries:
            self._route(entry, tasks, moment)

    def _end(self, entry: Entry, item: Item, ended: Ended) -> None:
        is_late = isinstance(ended, Failure) and ended.exception == DEADLINE_PASSED
        if isinstance(ended, Failure | Retried) and not is_late and not self._gate.is_serving:
            # Judged as if the predictor served, to be tried; nothing is rejected or moved while it does not.
            self._waiting.for_predictor(entry)
            return
        self._ledger.finish(entry.token, ended)
        if isinstance(ended, Skipped | Failure) and self._tier_of(item.message.topic) is not None:
            partition = item.message.position[:2]
            self._ended_early[partition] = max(entry.token, self._ended_early.get(partition, 0))

    def _clear_the_way(self) -> None:
        """An item that has ended early in a tier is not held up by those before it: they go through the tier again.

        Not while the API is halted, when nothing is moved; so this is made up for afterwards.
        """
        for partition, token in self._ended_early.items():
            tier = self._outcomes.nearest_tier(self._tier_of(partition[0]) or 1)
            for other in self._waiting.before(partition, token):
                if other.item is not None:
                    self._ledger.finish(other.token, again(other.item, tier))
        self._ended_early.clear()

    def _route(self, entry: Entry, tasks: list[Task], moment: Moment) -> bool:
        """Sends the entry where it belongs; False where it has to wait for its job."""
        item = entry.item
        if item is None:
            return True
        match triage(item, self._tier_of(item.message.topic), self._jobs, self._outcomes.policy, moment):
            case Wait.FOR_JOB:
                return False
            case Wait.FOR_PREDICTOR:
                self._waiting.for_predictor(entry)
            case WaitUntil(at):
                self._waiting.until(entry, at)
            case Payload() as payload:
                self._go_on(entry, payload, tasks)
            case Reference() as reference:
                self._fetch.submit(entry.token, reference)
            case RunHook(job_id):
                tasks.append(self._outcomes.hook(entry.token, job_id))
            case ended:
                self._end(entry, item, ended)
        entry.jobless = item.job_id is not None and self._jobs.status(item.job_id) is None
        return True

    def _go_on(self, entry: Entry, payload: Payload, tasks: list[Task]) -> None:
        """To the predictor, or to the input filter before it."""
        item = entry.item
        shaping = None if item is None else self._shapings.of(item.job_id)
        if shaping is not entry.shaping:
            entry.shaping = shaping
        if shaping is None or item is None:
            self._predict(entry, payload, tasks)
            return
        entry.sent = joined_instead_of(item, payload) if shaping.joins else None
        if shaping.shapes_input:
            self._shape.shape_input(entry.token, shaping, payload)
        else:
            self._predict(entry, payload, tasks)

    def _predict(self, entry: Entry, payload: Payload, tasks: list[Task]) -> None:
        item = entry.item
        if item is None or not self._suspects:
            tasks.append(self._task(entry.token, item, payload, suspect=entry.suspect))
        elif (culprit := self._suspects.verdict(item.message.position)) is not None:
            self._end(entry, item, culprit)
        else:
            suspect = entry.suspect or self._suspects.has(item.message.position)
            tasks.append(self._task(entry.token, item, payload, suspect=suspect))

    def _task(self, token: int, item: Item | None, payload: Payload, *, suspect: bool = False) -> Task:
        if self._scopes is None or item is None:
            return Task(token, payload, suspect=suspect)
        return Task(token, payload, self._scopes.of(item), suspect=suspect, name=item.item_id)

    def _tier_of(self, topic: str) -> int | None:
        if topic not in self._tiers:
            self._tiers[topic] = self._topics.tier_of(topic)
        return self._tiers[topic]

    # What a transaction settles, and a rebalance takes away.

    def delivered(self, prefixes: Iterable[Prefix]) -> None:
        if self._suspects:
            for prefix in prefixes:
                self._suspects.passed(prefix.partition, prefix.offset)

    def forget_lost(self, partitions: Collection[Partition] = ()) -> None:
        """What the ledger has forgotten; `partitions` are not ours any more."""
        self._waiting.forget_lost()
        self._suspects.forget(partitions)

    def next_time(self) -> float:
        """When `advance` will next have something to do by itself, in seconds since the epoch."""
        return self._waiting.next_time()

    def overfull(self, partitions: Iterable[Partition], may_wait: Callable[[int], tuple[int, int]]) -> set[Partition]:
        """The partitions of which enough waits here: of retry tiers, and those that are held back.

        `may_wait`: how many entries, and bytes, of each of so many partitions.
        """
        able = [one for one in partitions if self._tier_of(one[0]) is not None or self._ledger.is_held_back([one])]
        max_entries, max_bytes = may_wait(len(able))
        waiting = {one: self._ledger.waiting_in(one) for one in able}
        return {one for one, (count, size) in waiting.items() if count >= max_entries or size >= max_bytes}
