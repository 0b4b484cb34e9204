"""Roles in threads of the test's own process, ended with it."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

READY_S = 60.0


def give_up(error: Exception) -> None:
    """For a worker whose predictor has to load."""
    raise error


@contextmanager
def running(run: Callable[[threading.Event, Callable[[], None]], None]) -> Iterator[None]:
    """Runs a role until the block ends. What the role raises is raised here."""
    stop, ready = threading.Event(), threading.Event()
    errors: list[BaseException] = []

    def main() -> None:
        try:
            run(stop, ready.set)
        except BaseException as error:  # noqa: BLE001 - handed to the test's own thread
            errors.append(error)
        finally:
            ready.set()

    thread = threading.Thread(target=main, name="role")
    thread.start()
    try:
        assert ready.wait(READY_S), "the role did not get ready"
        if not errors:
            yield
    finally:
        stop.set()
        thread.join(READY_S)
        assert not thread.is_alive(), "the role did not end"
    if errors:
        raise errors[0]
