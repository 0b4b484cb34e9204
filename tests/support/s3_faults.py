"""An S3 server that refuses: in front of a real one, it answers as it is told to, or else hands the request on."""

import http.client
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

# Between two connections: they are not part of what is said.
_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "expect"}


class RefusingS3:
    """`refuse` answers every request whose method is among `methods`; a request that is handed on keeps its Host and
    so its signature."""

    def __init__(self, endpoint_url: str, port: int) -> None:
        self.endpoint_url = f"http://127.0.0.1:{port}"
        self.refused = 0
        self.upstream = urlsplit(endpoint_url).netloc
        self.answer: tuple[int, str] | None = None
        self.methods: tuple[str, ...] = ()

    @contextmanager
    def refusing(self, status: int, code: str, *methods: str) -> Iterator[None]:
        self.answer, self.methods = (status, code), methods
        try:
            yield
        finally:
            self.answer = None


@contextmanager
def refusing_s3(endpoint_url: str) -> Iterator[RefusingS3]:
    """In front of the server at `endpoint_url`, on a port of its own."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if server.answer is not None and self.command in server.methods:
                server.refused += 1
                self._reply(*_refusal(*server.answer))
            else:
                self._hand_on(body)

        do_GET = do_PUT = do_HEAD = do_DELETE = do_POST = serve  # noqa: N815 - http.server's names

        def log_message(self, *_: object) -> None:
            pass

        def _hand_on(self, body: bytes) -> None:
            connection = http.client.HTTPConnection(server.upstream, timeout=10)
            try:
                headers = {name: value for name, value in self.headers.items() if name.lower() not in _HOP_BY_HOP}
                connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
                for name, value in headers.items():
                    connection.putheader(name, value)
                connection.endheaders(body)
                answer = connection.getresponse()
                self._reply(answer.status, answer.getheaders(), answer.read())
            finally:
                connection.close()

        def _reply(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
            self.send_response(status)
            for name, value in headers:
                if name.lower() not in _HOP_BY_HOP | {"content-length", "date", "server"}:
                    self.send_header(name, value)
            told = dict(headers).get("Content-Length", "0")
            self.send_header("Content-Length", told if self.command == "HEAD" else str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    listener = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    listener.daemon_threads = True
    server = RefusingS3(endpoint_url, listener.server_port)
    thread = threading.Thread(target=listener.serve_forever, name="refusing-s3")
    thread.start()
    try:
        yield server
    finally:
        listener.shutdown()
        listener.server_close()
        thread.join()


def _refusal(status: int, code: str) -> tuple[int, list[tuple[str, str]], bytes]:
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>because</Message></Error>".encode()
    return status, [("Content-Type", "application/xml")], body
