"""A receiver of webhooks, as the `standardwebhooks` package makes one; it answers what the test says."""

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from standardwebhooks.webhooks import Webhook

WAIT_S = 60.0


@dataclass(frozen=True, slots=True)
class Told:
    """A message whose signature was right. `at` in monotonic seconds."""

    id: str
    signatures: int
    event: Any
    at: float


@dataclass(slots=True)
class Receiver:
    """Each answer is used once, a status or (status, headers); then 200. What is not signed right is 401."""

    secret: str
    url: str = ""
    answers: list[int | tuple[int, Mapping[str, str]]] = field(default_factory=list)
    told: list[Told] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    held: threading.Event | None = None

    def wait(self, count: int) -> list[Told]:
        """Once so many were told."""
        return until(lambda: self.told, lambda told: len(told) >= count)

    def answer(self, headers: Mapping[str, str], body: bytes) -> tuple[int, Mapping[str, str]]:
        try:
            event = Webhook(self.secret).verify(body, dict(headers))
        except Exception as error:  # noqa: BLE001 - the test asks what was refused
            self.refused.append(repr(error))
            return 401, {}
        signatures = len(headers["webhook-signature"].split())
        self.told.append(Told(headers["webhook-id"], signatures, event, time.monotonic()))
        if self.held is not None:
            self.held.wait(WAIT_S)
        said = self.answers.pop(0) if self.answers else 200
        return said if isinstance(said, tuple) else (said, {})


@contextmanager
def receiving(secret: str) -> Iterator[Receiver]:
    receiver = Receiver(secret)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            status, headers = receiver.answer({name.lower(): value for name, value in self.headers.items()}, body)
            try:
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("content-length", "0")
                self.end_headers()
            except OSError:
                return  # whoever asked was killed

        def log_message(self, *_args: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    receiver.url = f"http://127.0.0.1:{server.server_port}/hook?token=hunter2"
    thread = threading.Thread(target=server.serve_forever, name="receiver", daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        if receiver.held is not None:
            receiver.held.set()
        server.shutdown()
        server.server_close()
        thread.join()


def until(look: Callable[[], Any], is_so: Callable[[Any], bool]) -> Any:
    deadline = time.monotonic() + WAIT_S
    while not is_so(seen := look()):
        assert time.monotonic() < deadline, json.dumps(seen, default=repr)[:2000]
        time.sleep(0.05)
    return seen
