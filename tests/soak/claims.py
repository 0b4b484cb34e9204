"""Who is being hurt: two faults never use the same broker, network, store or role at once."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from random import Random

BROKERS, NETWORK, STORE = "brokers", "network", "store"
LOOK_AGAIN_S = 0.1


class Claims:
    """What is taken, by name. Its methods may be called from any thread."""

    def __init__(self) -> None:
        self._taken: set[str] = set()
        self._changed = threading.Condition()

    @contextmanager
    def hold(self, name: str) -> Iterator[None]:
        """Waits until nobody else holds it."""
        with self._changed:
            self._changed.wait_for(lambda: name not in self._taken)
            self._taken.add(name)
        try:
            yield
        finally:
            self._give_back(name)

    @contextmanager
    def one_of(self, candidates: Callable[[], Sequence[str]], chance: Random, within_s: float) -> Iterator[str]:
        """One of those that nobody holds. Raises TimeoutError where there is none in time."""
        with self._changed:
            free: list[str] = []

            def look() -> bool:
                free[:] = sorted(set(candidates()) - self._taken)
                return bool(free)

            waited = 0.0
            while not look():
                if waited > within_s:
                    raise TimeoutError(f"there is none within {within_s:.0f} s")
                self._changed.wait(LOOK_AGAIN_S)
                waited += LOOK_AGAIN_S
            name = chance.choice(free)
            self._taken.add(name)
        try:
            yield name
        finally:
            self._give_back(name)

    def _give_back(self, name: str) -> None:
        with self._changed:
            self._taken.remove(name)
            self._changed.notify_all()
