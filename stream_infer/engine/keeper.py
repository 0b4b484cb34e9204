"""Keeps one child alive: starts it, notices that it is gone or silent, and starts the next one when it is time.

LOADING --ready--> READY --gone--> LOADING (an item is to blame) or UNAVAILABLE (none is)
LOADING --fails--> UNAVAILABLE --delay is over--> LOADING
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from stream_infer.engine.host import Host
from stream_infer.engine.loading import Loading
from stream_infer.engine.observer import UNOBSERVED, ChildEnd, EngineObserver
from stream_infer.engine.policy import EnginePolicy
from stream_infer.engine.search import SizeSearch
from stream_infer.engine.wire import ToParent
from stream_infer.predictors.spec import PredictorSpec
from stream_infer.redaction import redact_text

log = logging.getLogger(__name__)


class State(StrEnum):
    """What the engine can do with items: keep them (LOADING, UNAVAILABLE), or answer them (READY)."""

    LOADING = "loading"
    READY = "ready"
    UNAVAILABLE = "unavailable"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class Readiness:
    """`reason` says what is wrong and what to do; `detail` is a traceback or the child's last lines, or empty.

    Both without what looks like a secret: whoever asks whether we are ready is told, and needs no key for it.
    """

    state: State
    reason: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Death:
    """How a child ended, in words that follow "the predictor's process", and the end of what it printed.

    `killed`: by SIGKILL, and not by us. `begun`: the id of the call that it had marked as begun last, or 0.
    """

    how: str
    stderr: str
    killed: bool = False
    begun: int = 0


class Keeper:
    """The child of the moment, or the wait for the next one. Time is passed in."""

    def __init__(
        self,
        spec: PredictorSpec,
        policy: EnginePolicy,
        on_line: Callable[[str], None],
        observer: EngineObserver = UNOBSERVED,
    ) -> None:
        self._spec = spec
        self._policy = policy
        self._on_line = on_line
        self._observer = observer
        self._next_event = math.inf  # UNAVAILABLE: of the next start; LOADING: of giving up
        self._heard = 0.0
        self._failures = 0
        self._was_ready = False
        self.host: Host | None = None
        self.readiness = Readiness(State.LOADING)
        self.predictor_name = spec.target
        self._search = SizeSearch(policy)
        self.loading: Loading | None = None

    @property
    def batch_size(self) -> int | None:
        """What was found, where it is searched for."""
        return self._search.found

    @property
    def ready(self) -> bool:
        return self.readiness.state is State.READY

    def start(self, now: float) -> None:
        """Starts a child; it is to be ready within `load_timeout_s`."""
        try:
            self.host = Host(self._spec, self._policy, self._on_line, self._search.limits())
        except OSError as error:
            self._fail(f"predictor {self._spec.target} has no process: {error}", "", now)
            return
        log.info("predictor %s is loading in process %d", self._spec.target, self.host.pid)
        self.readiness = Readiness(State.LOADING, self.readiness.reason, self.readiness.detail)
        self._next_event = now + self._policy.load_timeout_s

    def receive(self, now: float) -> list[tuple[Any, ...]]:
        """The child's messages about calls. Those about itself are dealt with here."""
        if self.host is None:
            return []
        calls: list[tuple[Any, ...]] = []
        for message in self.host.receive():
            self._heard = now
            kind = message[0]
            if kind == ToParent.DONE:
                calls.append(message)
            elif kind == ToParent.READY:
                self.readiness = Readiness(State.READY)
                self._was_ready = True
                _, self.predictor_name, found, seconds = message
                self._search.finds(found)
                self.loading = Loading(*seconds)
                log.info("predictor %s is ready in process %d", self.predictor_name, self.host.pid)
            elif kind == ToParent.TRIES:
                self._search.tries(message[1])
            elif kind == ToParent.UNAVAILABLE:
                self.host.reap()
                self.host = None
                self._observer.child_ended(ChildEnd.NOT_LOADED)
                self._fail(message[1], message[2], now)
                break
            elif kind == ToParent.POISONED:
                self.host.fault = message[1]
                break
            elif kind != ToParent.BEAT:
                calls.append(message)
        return calls

    def check(self, now: float) -> Death | None:
        """Starts a child that is due. Returns how a loaded one has ended; the caller says who is `to_blame`.

        Receive first: a sign of life, or last words, may be waiting in the socket.
        """
        if self.host is None:
            if now >= self._next_event:
                self.start(now)
            return None
        if self.host.is_gone():
            return self.end("", now)
        if self.ready and now >= self._heard + self._policy.heartbeat_timeout_s:
            silence = self._policy.heartbeat_timeout_s
            return self.kill(f"gave no sign of life for {silence:g} s (stopped, or native code kept the GIL)", now)
        if not self.ready and now >= self._next_event:
            limit = self._policy.load_timeout_s
            return self.kill(f"was not ready within {limit:g} s", now)
        return None

    def kill(self, why: str, now: float) -> Death | None:
        """Ends a child that hangs, after making it say where. None: it was loading, and is no call's business."""
        assert self.host
        self.host.dump_threads()
        return self.end(why, now, ChildEnd.HUNG)

    def end(self, why: str, now: float, how: ChildEnd = ChildEnd.CRASHED) -> Death | None:
        """Ends the child at once. None: it was loading, and is no call's business."""
        assert self.host
        said, tail = self.host.reap()
        death = Death(why or said, tail, killed=self.host.killed and not why, begun=self.host.begun)
        self.host = None
        self._observer.child_ended(ChildEnd.NOT_LOADED if not self.ready else ChildEnd.KILLED if death.killed else how)
        if self.ready:
            self.readiness = Readiness(State.LOADING, f"the predictor's process {death.how}", tail)
            return death
        what = f"predictor {self._spec.target}"
        if tried := self._search.dies():
            log.warning("%s: its process %s with %d items in a call; the next tries fewer", what, death.how, tried)
            self.start(now)
        else:
            self._fail(f"{what} cannot be loaded: its process {death.how} while loading", tail, now)
        return None

    def replace(self, death: Death, now: float, *, to_blame: int) -> None:
        """Starts the next child: at once where calls are to blame, after a growing delay where none is."""
        log.warning("the predictor's process %s; micro-batches to blame: %d", death.how, to_blame)
        if to_blame:
            self.start(now)
        else:
            self._fail(f"the predictor's process {death.how}, and no item is to blame", death.stderr, now)

    def restart(self, reason: str, now: float) -> None:
        """A fresh child, at once: instead of the present one or of the wait for the next. One that loads is fresh."""
        if self.host and not self.ready:
            return
        log.warning("predictor %s gets a fresh process: %s", self.predictor_name, reason)
        if self.host:
            self.host.reap()
            self.host = None
            self._observer.child_ended(ChildEnd.RENEWED)
        self.readiness = Readiness(State.LOADING, reason)
        self.start(now)

    def excuse(self, now: float) -> None:
        """The child may be silent now: somebody else minds how long."""
        self._heard = now

    def prove(self) -> None:
        """The child has answered: earlier failures do not count any more."""
        self._failures = 0

    def next_event(self) -> float:
        """When `check` will next have something to do, if the child stays silent."""
        return self._heard + self._policy.heartbeat_timeout_s if self.ready else self._next_event

    def close(self, timeout_s: float) -> None:
        """Ends the child, politely first."""
        self.readiness = Readiness(State.CLOSED)
        self._next_event = math.inf
        if self.host:
            self.host.close(timeout_s, self._policy.terminate_timeout_s)
            self.host = None

    def _fail(self, reason: str, detail: str, now: float) -> None:
        reason, detail = redact_text(reason), redact_text(detail)
        exponent = min(self._failures, 30)
        delay = min(self._policy.restart_delay_s * 2**exponent, self._policy.restart_delay_cap_s)
        self._failures += 1
        self._next_event = now + delay
        self.readiness = Readiness(State.UNAVAILABLE, reason, detail)
        if self._was_ready or self._failures > 1:
            log.error("%s; next start in %.1f s", reason, delay)
        else:  # who waits for the first start may give up now: `Engine.wait_ready` raises this reason
            log.error("%s", reason)
