"""Closed-loop clients in one process: each connection asks again as soon as it has its answer.

python -m benchmarks.realtime_client HOST PORT PATH CONTENT_TYPE BODY_FILE CONNECTIONS SECONDS [WARM_UP_SECONDS]

One thread, one epoll, the request's bytes made once and an answer's read by its length alone: what a request costs here
is in the last line, beside what was measured, so that it shows whether the client was in the way.
"""

from __future__ import annotations

import json
import select
import socket
import sys
import time
from pathlib import Path

_READ = 1 << 16
_HEAD_END = b"\r\n\r\n"


class _Connection:
    """One request in flight at a time."""

    __slots__ = ("answer", "asked", "sock")

    def __init__(self, host: str, port: int) -> None:
        self.sock = socket.create_connection((host, port), timeout=10)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.asked = 0.0
        self.answer = b""

    def ask(self, request: bytes) -> None:
        self.asked = time.perf_counter()
        self.sock.sendall(request)

    def hear(self) -> int:
        """The status once the answer is whole, else 0."""
        chunk = self.sock.recv(_READ)
        if not chunk:
            raise ConnectionError(f"the server hung up after {self.answer[:200]!r}")
        self.answer = answer = self.answer + chunk if self.answer else chunk
        end = answer.find(_HEAD_END)
        if end < 0:
            return 0
        head = answer[:end].lower()
        at = head.find(b"content-length:")
        length = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
        if len(answer) < end + 4 + length:
            return 0
        self.answer = b""
        return int(head[9:12])


def run(host: str, port: int, request: bytes, connections: int, seconds: float, warm_up: float) -> dict[str, object]:
    """Latencies in milliseconds of what was answered with 200; `cpu` is the share of one core that was used here."""
    poller = select.epoll()
    by_fd = {}
    for _ in range(connections):
        connection = _Connection(host, port)
        by_fd[connection.sock.fileno()] = connection
        poller.register(connection.sock, select.EPOLLIN)
    for connection in by_fd.values():
        connection.ask(request)
    began = time.perf_counter() + warm_up
    end = began + seconds
    taken: list[float] = []
    statuses: dict[int, int] = {}
    cpu: float | None = None
    now = time.perf_counter()
    while now < end:
        for fd, _ in poller.poll(1.0):
            connection = by_fd[fd]
            status = connection.hear()
            if not status:
                continue
            now = time.perf_counter()
            if now >= began:
                if cpu is None:
                    cpu = time.process_time()
                statuses[status] = statuses.get(status, 0) + 1
                if status == 200:
                    taken.append(now - connection.asked)
            connection.ask(request)
        now = time.perf_counter()
    spent = time.process_time() - (cpu or 0.0)
    for connection in by_fd.values():
        connection.sock.close()
    taken.sort()
    return {
        "rate": len(taken) / (now - began),
        "p50": 1e3 * quantile(taken, 0.5),
        "p99": 1e3 * quantile(taken, 0.99),
        "worst": 1e3 * quantile(taken, 1.0),
        "cpu": spent / (now - began),
        "other": sum(count for status, count in statuses.items() if status != 200),
    }


def request_of(host: str, port: int, path: str, content_type: str, body: bytes) -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}"
    return f"{head}\r\n\r\n".encode() + body


def quantile(ordered: list[float], fraction: float) -> float:
    return ordered[min(len(ordered) - 1, int(len(ordered) * fraction))] if ordered else float("nan")


def main() -> None:
    host, port, path, content_type, body, connections, seconds, *warm_up = sys.argv[1:]
    request = request_of(host, int(port), path, content_type, Path(body).read_bytes())
    found = run(host, int(port), request, int(connections), float(seconds), float(warm_up[0]) if warm_up else 0.0)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
