"""`/metrics`, `/healthz` and `/readyz` of a role, beside its work, to whoever asks.

Whoever works is not held up by it: it is served on threads of its own, and where it cannot listen the work goes on.
"""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingTCPServer
from typing import Any, NamedTuple

import structlog

from stream_infer.telemetry.exposure import Exposure

_LOG = structlog.get_logger(__name__)

DEFAULT_LISTEN = "127.0.0.1:9400"
"""Where nothing is set; and any free port where that is taken."""
_AGAIN_S = 5.0
_LOOK_EVERY_S = 0.1
_SLOWEST_S = 10.0
"""For a whole request: whoever sends a byte now and then is hung up on, too."""
_MOST_ASKERS = 32
_JSON = "application/json"
_PROBLEM = "application/problem+json"


class Reply(NamedTuple):
    status: int
    content_type: str
    body: bytes


def reply_to(path: str, exposure: Exposure) -> Reply:
    """What is at the path; the problems are those of the gateway (http/problems.py)."""
    match path.partition("?")[0]:
        case "/metrics":
            from stream_infer.telemetry.exposition import CONTENT_TYPE, metrics_text

            return Reply(200, CONTENT_TYPE, metrics_text(exposure))
        case "/healthz":
            return Reply(200, _JSON, b'{"status":"ok"}')
        case "/readyz":
            missing = list(exposure.missing())
            return _not_ready(missing) if missing else Reply(200, _JSON, b'{"status":"ready"}')
        case _:
            detail = "There are GET /metrics, GET /healthz and GET /readyz here."
            return _problem(404, "unknown-path", "There is nothing at this path", detail)


def _not_ready(missing: list[str]) -> Reply:
    return _problem(503, "not-ready", "The server is not ready", " ".join(missing), reasons=missing)


def _problem(status: int, slug: str, title: str, detail: str, **members: Any) -> Reply:
    document = {"type": f"urn:stream-infer:problem:{slug}", "title": title, "status": status, "detail": detail}
    return Reply(status, _PROBLEM, json.dumps(document | members, ensure_ascii=False).encode())


class _Handler(BaseHTTPRequestHandler):
    """One request a connection."""

    timeout = _SLOWEST_S
    server_version = "stream-infer"
    sys_version = ""
    server: _Server

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def _answer(self, *, with_body: bool) -> None:
        reply = reply_to(self.path, self.server.exposure)
        self.send_response(reply.status)
        self.send_header("Content-Type", reply.content_type)
        self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        if with_body:
            self.wfile.write(reply.body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name that the base class has
        """Who asks every few seconds is not worth a line."""


class _Server(ThreadingTCPServer):
    """Not HTTPServer, which looks up the host's full name at its start: where DNS is away that takes seconds.

    Of more askers than it may have at a time the first that came goes: what asks for a probe is done in no time.
    """

    allow_reuse_address = True
    daemon_threads = True
    timeout = _LOOK_EVERY_S

    def __init__(self, host: str, port: int, exposure: Exposure) -> None:
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.exposure = exposure
        self._open: dict[socket.socket, float] = {}  # when each came; the server's thread adds, an asker's own removes
        super().__init__((host, port), _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        came_first = list(self._open)
        self._hang_up(came_first[: max(0, len(came_first) - _MOST_ASKERS + 1)])
        self._open[request] = time.monotonic()
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._open.pop(request, None)
        super().shutdown_request(request)

    def service_actions(self) -> None:
        """Called again and again: ends those that are too slow."""
        now = time.monotonic()
        self._hang_up(asker for asker, came in list(self._open.items()) if now - came > _SLOWEST_S)

    def _hang_up(self, askers: Iterable[socket.socket]) -> None:
        """Its thread then reads an end, and goes."""
        for asker in askers:
            with contextlib.suppress(OSError):  # it has just gone
                asker.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 - as the base class has it
        """An asker that has gone, or one that says nothing."""
        _LOG.debug("metrics_asker_lost", client=str(client_address), exc_info=True)


class _Listener:
    """Serves on a thread from `start` on, as soon as it can listen."""

    def __init__(self, listen: str | None, exposure: Exposure) -> None:
        self._listen = listen
        self._exposure = exposure
        self._closing = threading.Event()
        self._server: _Server | None = None
        self._was_told = False
        self._thread = threading.Thread(target=self._serve, name="metrics", daemon=True)

    def start(self) -> None:
        """Does not raise: where it cannot listen that is told, and tried again."""
        self._server = self._opened()
        self._thread.start()

    @property
    def url(self) -> str | None:
        """None: it cannot listen yet."""
        return None if self._server is None else _url(self._server)

    def close(self) -> None:
        self._closing.set()
        self._thread.join(_LOOK_EVERY_S * 5)

    def _serve(self) -> None:
        while self._server is None:
            if self._closing.wait(_AGAIN_S):
                return
            self._server = self._opened()
        with self._server as server:
            while not self._closing.is_set():
                server.handle_request()
                server.service_actions()

    def _opened(self) -> _Server | None:
        host, _, _ = DEFAULT_LISTEN.rpartition(":")
        reason = ""
        for listen in [DEFAULT_LISTEN, f"{host}:0"] if self._listen is None else [self._listen]:
            try:
                server = self._bound(listen)
            except (OSError, OverflowError) as error:
                reason = f"{listen}: {error}"
                continue
            say = _LOG.info if self._listen is None or self._was_told else _LOG.debug  # else it is where it is wanted
            say("metrics_served", url=_url(server))
            return server
        say = _LOG.debug if self._was_told else _LOG.error
        say("metrics_not_served", reason=reason, mend="set metrics.listen to a free HOST:PORT", again_every_s=_AGAIN_S)
        self._was_told = True
        return None

    def _bound(self, listen: str) -> _Server:
        host, _, port = listen.rpartition(":")
        return _Server(host.strip("[]"), int(port), self._exposure)


@contextmanager
def served(listen: str | None, exposure: Exposure) -> Iterator[_Listener]:
    """Shows `exposure` on `listen` (HOST:PORT), or where that is None on DEFAULT_LISTEN, until the block ends.

    Where it cannot listen that is told, and tried again.
    """
    listener = _Listener(listen, exposure)
    listener.start()
    try:
        yield listener
    finally:
        listener.close()


def _url(server: _Server) -> str:
    host, port = server.server_address[:2]
    shown = host.decode() if isinstance(host, bytes | bytearray) else host
    return f"http://[{shown}]:{port}" if ":" in shown else f"http://{shown}:{port}"
