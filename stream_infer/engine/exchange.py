"""What goes to the child and what comes from it; whoever is to blame for its end is judged. Times are passed in.

Nothing here waits, but for the end of a child that is replaced: 2 s at most.
"""

from __future__ import annotations

from stream_infer.engine.batcher import Batcher
from stream_infer.engine.calls import message_for
from stream_infer.engine.court import Court
from stream_infer.engine.isolation import Call, Died, Exhausted, OutOfMemory
from stream_infer.engine.keeper import Death, Keeper
from stream_infer.engine.memory import MemoryGuard, find_guard
from stream_infer.engine.observer import ChildEnd
from stream_infer.engine.policy import EnginePolicy
from stream_infer.engine.task import AlikeTasks
from stream_infer.errors import Stage
from stream_infer.predictors.finding import full_name
from stream_infer.records import Failure


class Exchange:
    """Between micro-batches that close, the calls that wait, and the child of the moment."""

    def __init__(self, policy: EnginePolicy, batcher: Batcher, court: Court, keeper: Keeper) -> None:
        self._policy = policy
        self._batcher = batcher
        self._court = court
        self._dispatch = court.dispatch
        self._keeper = keeper
        self._guard: MemoryGuard | None = None

    def start(self, now: float) -> None:
        """Starts a child, and the look at what memory there is."""
        self._guard = find_guard(self._policy.memory_fraction, self._policy.memory_check_s)
        self._keeper.start(now)

    def hand_over(self, now: float, *, is_all: bool) -> None:
        """Gives the child what it has a place for. `is_all`: nothing is about to be submitted.

        A micro-batch that is due goes in its turn, behind what had waited for the child before. Until the child has a
        place for it, it stays open: what comes meanwhile may still join. Measured with objects that came one by one and
        a model on all cores: micro-batches had 5 items of 32 where they closed while the model was busy.
        """
        host, batcher, dispatch = self._keeper.host, self._batcher, self._dispatch
        if host is None or not self._keeper.ready:
            return
        while (batcher or dispatch.waits) and dispatch.has_place:
            if batcher and batcher.next_deadline() <= min(now, dispatch.waits_since):
                due = batcher.close_due(now)
                assert due
                dispatch.add_before(due)
            elif is_all and dispatch.idle and (oldest := batcher.close_oldest()):
                dispatch.add(oldest, now)
            call = self._court.next_call(now)
            if call is None:
                return
            host.call(message_for(call))

    def hand_over_one(self, tasks: AlikeTasks, now: float) -> bool:
        """Gives a child that has nothing to do a task that is alone: a micro-batch as it is, whatever the policy.

        False: it is not that, and the batcher's. Measured: that would cost 5 us of the 29 that a request alone takes in
        Python.
        """
        host = self._keeper.host
        if len(tasks.tokens) != 1 or host is None or not self._keeper.ready:
            return False
        if self._batcher or not self._dispatch.idle:
            return False
        self._court.admit(tasks)
        self._dispatch.add(tasks, now)
        call = self._court.next_call(now)
        if call is not None:
            host.call(message_for(call))
        return True

    def take_in(self, now: float) -> None:
        """What the child has said: the court's answers, or a fault of its own."""
        host = self._keeper.host
        messages = self._keeper.receive(now)
        found = self._keeper.batch_size
        if found is not None and found != self._batcher.max_size:
            self._batcher.max_size = found
            self._court.cap.refit(found)
        for message in messages:
            try:
                if self._court.hear(message, self._keeper.predictor_name, now):
                    self._keeper.prove()
                    if host:
                        host.answered(message[1])
            except (LookupError, ValueError, TypeError, AttributeError) as error:
                assert host
                host.fault = f"sent a message that makes no sense ({type(error).__name__}: {error})"
                return

    def check(self, now: float) -> None:
        """Replaces a child that has ended, hangs, or fills the container; starts one that is due."""
        running = self._dispatch.running()
        if running is not None and running.loading_since is not None:  # its silence has `load_timeout_s`
            self._keeper.excuse(now)
        death = self._keeper.check(now)
        if death:
            self._bury(death, None, now)
        elif self._keeper.ready and (overrun := self._dispatch.overrun(now)):
            limit = self._dispatch.timeout_of(overrun)
            what = "one call" if overrun.loading_since is None else "loading"
            death = self._keeper.kill(f"hung for {limit:g} s, its deadline for {what},", now)
            if death:
                self._bury(death, overrun, now)
        elif self._guard and self._keeper.host and (used := self._guard.check(now)):
            self._make_room(used, now)

    def next_due(self) -> float:
        """When there is something to do although nothing has come."""
        due = min(self._dispatch.next_deadline(), self._keeper.next_event())
        if self._keeper.ready and self._dispatch.has_place:
            due = min(due, self._batcher.next_deadline())
        if self._guard and self._keeper.host and not (self._keeper.ready and self._dispatch.running() is None):
            due = min(due, self._guard.next_check())
        return due

    def _bury(self, death: Death, overrun: Call | None, now: float) -> None:
        ending = Died(death.how, death.stderr, timed_out=overrun is not None, killed=death.killed)
        self._keeper.replace(death, now, to_blame=self._court.lose(ending, overrun, now, death.begun))

    def _make_room(self, used: str, now: float) -> None:
        """Ends the child before the kernel ends the container: as if the call that it is at had run out of memory."""
        assert self._guard
        how = f"was ended: it had filled the container's memory ({used})"
        death = self._keeper.end(how, now, ChildEnd.OUT_OF_MEMORY)
        if death is None:
            return
        still = self._guard.look()
        if still:
            self._court.recall()
            how = f"was ended to no avail: without it, too, the container's memory is full ({still}); give it more"
            self._keeper.replace(Death(how, death.stderr), now, to_blame=0)
            return
        message = f"the predictor's process {death.how}"
        running = self._dispatch.running()
        ending = Exhausted(Failure(Stage.PREDICT, full_name(OutOfMemory), message, death.stderr))
        self._keeper.replace(death, now, to_blame=self._court.lose(ending, running, now, death.begun))
