"""Faults one after another, and how long the system takes to recover from each."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from random import Random

from tests.soak.faults import BY_NAME, Arena, Fault, Harm, undo_all
from tests.soak.watch import Sample, Watch, standing

RECOVERS_WITHIN_S = 120.0


@dataclass(frozen=True, slots=True)
class Injected:
    """One fault. Times in seconds since the epoch; `recovered` is in seconds from `harm.since`.

    None: not in time; then `standing` says what stood still.
    """

    name: str
    began: float
    harm: Harm | None = None
    recovered: float | None = None
    error: str | None = None
    standing: tuple[str, ...] = ()


class Injection:
    """Injects on a thread of its own until closed. `groups` are the names in Kafka of a watched role's groups."""

    def __init__(self, arena: Arena, watch: Watch, groups: Mapping[str, Sequence[str]], chance: Random) -> None:
        self._arena = arena
        self._watch = watch
        self._groups = groups
        self._chance = chance
        self._ending = threading.Event()
        self._pool = ThreadPoolExecutor(32, thread_name_prefix="fault")
        self._running: list[Future[Injected]] = []
        self._thread: threading.Thread | None = None
        self.crashed: BaseException | None = None

    def start(
        self,
        names: Iterator[str],
        most: int,
        every: float | None,
        say: Callable[[str], None],
        enough: Callable[[], bool],
    ) -> None:
        """Up to `most` faults, until `enough`. `every` as in `Plan`."""

        def run() -> None:
            try:
                self._inject(names, most, every, say, enough)
            except BaseException as error:  # noqa: BLE001 - told by `finish`
                self.crashed = error

        self._thread = threading.Thread(target=run, name="faults", daemon=True)
        self._thread.start()

    def wait(self) -> None:
        """Until all have begun that `start` allows."""
        if self._thread is not None:
            self._thread.join()

    def finish(self) -> list[Injected]:
        """No more faults; waits for the recovery from those that were injected, and undoes what is left of them."""
        self._ending.set()
        self.wait()
        done = [future.result() for future in self._running]
        self._pool.shutdown()
        undo_all(self._arena)
        if self.crashed is not None:
            raise self.crashed
        return done

    def _inject(
        self,
        names: Iterator[str],
        most: int,
        every: float | None,
        say: Callable[[str], None],
        enough: Callable[[], bool],
    ) -> None:
        begun = time.monotonic()
        for name in names:
            fault = BY_NAME[name]
            if not fault.needs(self._arena):
                continue
            if self._ending.is_set() or enough() or len(self._running) >= most:
                return
            future = self._pool.submit(self._one, fault, Random(self._chance.random()), say)
            self._running.append(future)
            if every is None:
                future.result()
                self._ending.wait(0.5 + 1.5 * self._chance.random())
            else:
                begun += every
                self._ending.wait(max(0.0, begun - time.monotonic()))

    def _one(self, fault: Fault, chance: Random, say: Callable[[str], None]) -> Injected:
        began = time.time()
        before = self._watch.after(began, RECOVERS_WITHIN_S)
        try:
            harm = fault.act(self._arena, chance)
        except Exception as error:  # noqa: BLE001 - a fault that cannot be injected is a finding of the run
            say(f"{fault.name}: {type(error).__name__}: {error}")
            return Injected(fault.name, began, error=f"{type(error).__name__}: {error}")
        # A kill's harm is over at once: its own beginning is what others are measured from.
        if before is None or harm.since > before.at + 0.5:
            before = self._watch.after(harm.since, RECOVERS_WITHIN_S)
        recovered, left = self._recovery(fault, harm, before)
        took = f"did not recover: {left[:6]}" if recovered is None else f"recovered in {recovered:.1f} s"
        say(f"{fault.name} ({harm.victim}): {took}")
        return Injected(fault.name, began, harm, recovered, standing=tuple(left))

    def _recovery(self, fault: Fault, harm: Harm, before: Sample | None) -> tuple[float | None, list[str]]:
        groups = [group for name in fault.watched for group in self._groups[name]]
        left = ["no answer of Kafka"]
        deadline = time.monotonic() + RECOVERS_WITHIN_S
        while before is not None and time.monotonic() < deadline:
            now = self._watch.after(max(harm.since, before.at) + 0.001, RECOVERS_WITHIN_S)
            if now is None:
                break
            away = [name for name in harm.reborn if not self._arena.supervisor.is_ready(name, harm.since)]
            left = away + standing(before, now, groups)
            if not left:
                return max(0.0, now.at - harm.since), []
            time.sleep(0.1)
        return None, left
