"""One run, first process to last: build the system, feed it, hurt it, let it drain, and look at what is there."""

import shutil
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from random import Random

import psutil

from connectors.s3 import S3Access
from stream_infer.local.free_ports import is_free
from stream_infer.settings import Settings
from stream_infer.topics import Topics, retry_tiers
from tests.soak import attempts, health, items
from tests.soak.checks import check_all
from tests.soak.evidence import Evidence, gather, lags_of
from tests.soak.faults import FAULTS, SINK, TRACK, WORK
from tests.soak.feed import Feed
from tests.soak.injection import Injected, Injection
from tests.soak.plan import Plan, schedule
from tests.soak.replay import choose, replay
from tests.soak.report import Outcome, fault_findings
from tests.soak.roles import wait_until
from tests.soak.system import Say, System, credentials_of, system_in
from tests.soak.truth import OTHER, Finding, Truth, truth_of
from tests.soak.watch import Tally, Watch
from tests.support.processes import survivors

LAG_WITHIN_S = 60.0
FED = 0.6
"""The items come in over this share of the run's duration."""
REPLAYED = ("middle", "stream")
TOLD_EVERY_S = 15.0


def run(plan: Plan, say: Say) -> Outcome:
    """Everything that `plan` says. The folder with logs and data is kept, and named, where anything is off.

    Raises ServiceUnavailable where a part of it cannot be had here.
    """
    began = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="stream-infer-soak-"))
    outcome = Outcome(plan)
    try:
        with system_in(folder, plan, say) as system:
            Run(plan, system, outcome, say).go()
        ports = [int(port) for port in (folder / "ports").read_text().split()]
        outcome.findings += [Finding(OTHER, f"port {port} is still taken") for port in ports if not is_free(port)]
    except BaseException:
        say(f"logs and data are kept in {folder}")
        raise
    outcome.seconds = time.monotonic() - began
    if outcome.is_well:
        shutil.rmtree(folder)
    else:
        say(f"logs and data are kept in {folder}")
    return outcome


class Run:
    """The work of a run on a system that is ready; what it finds goes into `outcome`."""

    def __init__(self, plan: Plan, system: System, outcome: Outcome, say: Say) -> None:
        self._plan = plan
        self._system = system
        self._outcome = outcome
        self._say = say
        self._drawn = items.draw(plan.seed, items.sources(plan.items))
        outcome.items = [item for mine in self._drawn.values() for item in mine]
        settings = system.settings
        topics = Topics(settings.kafka.topic_prefix)
        names = [topics.api(api.name) for api in settings.apis]
        ends = [topic for one in names for topic in (one.results, one.dlq)]
        read = {topics.sink_group: ends, topics.tracker_group: [topics.progress]}
        for api, one in zip(settings.apis, names, strict=True):
            read[one.worker_group] = [one.items, *(one.retry(tier) for tier in range(1, 1 + retry_tiers(api)))]
        groups = {
            WORK: [one.worker_group for one in names],
            SINK: [topics.sink_group],
            TRACK: [topics.tracker_group],
        }
        self._watch = Watch(system.arena.cluster.direct, read)
        self._tally = Tally(system.arena.cluster.direct, ends, topics.status)
        self._feed = Feed(settings, system.folder, system.arena.store, system.gateway)
        self._injection = Injection(system.arena, self._watch, groups, Random(f"injection {plan.seed}"))
        self._replayed: list[str] = []
        self._began = time.monotonic()

    def go(self) -> None:
        """1: feed and hurt; 2: let it drain; 3: end everybody; 4: judge."""
        chosen = [fault.name for fault in FAULTS if fault.name in self._plan.only or not self._plan.only]
        with ExitStack() as stack:
            for thing in (self._watch, self._tally):
                thing.start()
                stack.callback(thing.close)
            self._feed.start(self._drawn, self._plan.seed, self._plan.duration * FED)
            stack.callback(self._feed.stop)
            names = schedule(self._plan.seed, chosen)
            self._injection.start(names, self._plan.faults, self._plan.every, self._say, self._is_nearly_done)
            self._follow()
            if self._plan.busy is None:
                self._injection.wait()
            self._outcome.injected = self._injection.finish()
            self._break()
            self._replay()
        self._outcome.not_injected = _left_out(chosen, self._outcome.injected)
        lags = _settled_lags(self._system.settings)
        self._outcome.drained_in = time.monotonic() - self._began
        self._say(f"drained in {self._outcome.drained_in:.1f} s")
        self._end()
        self._judge(lags)

    def _follow(self) -> None:
        """Until all is done, or nothing has moved for as long as the plan's patience.

        The reader here is asked first whether it is the one that stands: once everything had ended, and it had not
        said so for 150 s.
        """
        tally = self._tally
        stream = {item.name for item in self._outcome.items if not item.source.is_job}
        moved = told = renewed = time.monotonic()
        count = -1
        while not self._is_done(stream):
            now, ended = time.monotonic(), _moves(tally)
            if ended != count:
                moved, count = now, ended
            if now - max(moved, renewed) > self._plan.patience / 3:
                renewed = now
                self._say("nothing moves: another reader looks")
                tally.renew()
            if now - moved > self._plan.patience:
                self._outcome.findings.append(Finding(OTHER, f"nothing has moved for {self._plan.patience:.0f} s"))
                return
            if now - told > TOLD_EVERY_S:
                told = now
                self._say(f"{len(tally.seen.ids)} of {len(self._outcome.items)} have come out")
            time.sleep(0.2)

    def _break(self) -> None:
        """A job of nothing but bad items: the breaker is to fail it. Not where something is off already."""
        if self._outcome.findings or self._feed.errors:
            return
        job, began = items.BROKEN_JOB, time.monotonic()
        self._drawn[job.name] = items.broken_items()
        job_id = self._feed.submit(job, self._drawn[job.name], self._plan.seed)

        def is_final() -> bool:
            status = self._tally.seen.status.get(job_id)
            return status is not None and status.state.is_final

        if not wait_until(is_final, self._plan.patience):
            self._outcome.findings.append(Finding(OTHER, f"job {job.name} has not ended"))
        self._say(f"job {job.name} ended in {time.monotonic() - began:.1f} s")

    def _replay(self) -> None:
        """Of one job and of the stream; not where something is off already."""
        if self._outcome.findings or self._feed.errors:
            return
        truth, jobs = truth_of(self._drawn, self._feed.jobs), self._feed.jobs
        system = self._system
        letters = choose(system.settings, truth.items, jobs, REPLAYED)
        self._replayed = [item_id for one in letters for item_id in one.items]
        began = time.monotonic()
        errors = replay(letters, system.folder, system.gateway, system.arena.supervisor, self._tally)
        self._outcome.findings += [Finding(OTHER, error) for error in errors]
        self._say(f"{len(self._replayed)} dead letters replayed in {time.monotonic() - began:.1f} s")

    def _is_done(self, stream: set[str]) -> bool:
        feed, seen = self._feed, self._tally.seen
        if not feed.is_done or feed.errors:
            return feed.is_done
        known = [seen.status.get(job_id) for job_id in feed.jobs.values()]
        return all(status is not None and status.state.is_final for status in known) and stream <= seen.ids

    def _is_nearly_done(self) -> bool:
        seen, busy = self._tally.seen, self._plan.busy
        skipped = sum(status.counts.skipped for status in list(seen.status.values()))
        ended = len(seen.ids) + skipped
        return busy is not None and self._feed.is_done and ended >= busy * len(self._outcome.items)

    def _end(self) -> None:
        """Everybody is asked to end; whoever does not, or leaves a process behind, is a finding."""
        supervisor = self._system.arena.supervisor
        pids = sorted(supervisor.seen_pids)
        statuses = supervisor.stop()
        left = [pid for pid in survivors(pids, 5.0) if _is_ours(pid, self._system.folder)]
        self._outcome.findings += health.check_ends(statuses, supervisor.given_up, left)
        self._outcome.findings += health.check_memory(supervisor.measures)
        self._outcome.memory = health.memory_of(supervisor.measures)
        self._outcome.own_ends = health.own_ends(supervisor.lives())
        self._outcome.findings += health.check_own_ends(supervisor.lives(), self._outcome.injected)
        self._say("all roles have ended")

    def _judge(self, lags: dict[str, int]) -> None:
        store, outcome = self._system.arena.store, self._outcome
        with credentials_of(store):
            found = gather(self._system.settings, S3Access(store.direct.endpoint_url), self._system.folder, lags)
        truth = truth_of(self._drawn, self._feed.jobs, self._replayed)
        outcome.findings += [Finding(OTHER, error) for error in self._feed.errors]
        outcome.findings += fault_findings(outcome.injected)
        outcome.findings += check_all(truth, found)
        lives = self._system.arena.supervisor.lives()
        outcome.recomputed = attempts.recomputed(truth, found, outcome.injected, lives)
        outcome.findings += attempts.check_recomputed(outcome.recomputed, outcome.injected)
        outcome.suspects = attempts.suspects(found.calls, lives)
        outcome.findings += attempts.check_suspects(outcome.suspects)
        outcome.skipped = _skipped(truth, found)
        outcome.crashes = health.predictor_recoveries(found.calls, items.by_name(self._drawn))


def _moves(tally: Tally) -> int:
    """Changes with anything that moves: records that came out, and what the rows say."""
    return len(tally.seen.ids) + sum(row.counts.ended + row.offset for row in list(tally.seen.status.values()))


def _left_out(chosen: Sequence[str], injected: Sequence[Injected]) -> list[str]:
    done = {one.name for one in injected if one.error is None}
    return [name for name in chosen if name not in done]


def _skipped(truth: Truth, found: Evidence) -> dict[str, int]:
    """By job; a job that is whole has none."""
    rows = {name: found.final(job_id) for job_id, name in truth.jobs.items()}
    return {name: row.counts.skipped for name, row in rows.items() if row is not None and row.counts.skipped}


def _settled_lags(settings: Settings) -> dict[str, int]:
    """Once all are 0, or what they are after a minute: a sink commits what is idle with a delay."""
    found: dict[str, int] = {}

    def look() -> bool:
        found.update(lags_of(settings))
        return not any(found.values())

    wait_until(look, LAG_WITHIN_S, 0.5)
    return found


def _is_ours(pid: int, folder: Path) -> bool:
    """Numbers of processes are used again."""
    try:
        words = " ".join(psutil.Process(pid).cmdline())
    except psutil.Error:
        return False
    return str(folder) in words or "stream_infer.engine.child" in words
