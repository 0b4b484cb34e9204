"""Asks a broker, with one raw Metadata request, whether it serves clients yet."""

from __future__ import annotations

import socket
import struct

_METADATA, _VERSION, _CORRELATION = 3, 1, 7
_CLIENT = b"stream-infer-probe"
# Header v1 (key, version, correlation id, client id), then an empty array: no topics, only brokers.
_REQUEST = struct.pack(f">hhih{len(_CLIENT)}si", _METADATA, _VERSION, _CORRELATION, len(_CLIENT), _CLIENT, 0)
_TIMEOUT_S = 1.0


def lists_a_broker(host: str, port: int) -> bool:
    """Whether the broker answers and lists itself: it is unfenced, topics can be created and written.

    The port opens earlier than that. Blocks up to a second.
    """
    try:
        with socket.create_connection((host, port), _TIMEOUT_S) as connection:
            connection.sendall(struct.pack(">i", len(_REQUEST)) + _REQUEST)
            # size, correlation id, and the length of the brokers array
            answer = _read_exactly(connection, 12)
    except OSError:
        return False
    correlation: int
    brokers: int
    _, correlation, brokers = struct.unpack(">iii", answer)
    return correlation == _CORRELATION and brokers > 0


def _read_exactly(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        chunk = connection.recv(size - len(data))
        if not chunk:
            raise ConnectionError("closed before the answer was whole")
        data += chunk
    return data
