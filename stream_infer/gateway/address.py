"""Where the gateway listens."""

from __future__ import annotations

import errno
import ipaddress
from typing import NamedTuple

from stream_infer.errors import ConfigError


class Address(NamedTuple):
    """`port` 0 asks the system for a free one."""

    host: str
    port: int

    @property
    def url(self) -> str:
        return f"http://[{self.host}]:{self.port}" if ":" in self.host else f"http://{self.host}:{self.port}"


def listen_address(listen: str) -> Address:
    """The address that `gateway.listen` names. Raises ConfigError where it is not of this machine alone."""
    host, _, port = listen.rpartition(":")
    host = "127.0.0.1" if host == "localhost" else host.strip("[]")
    if int(port) > 65535:
        raise ConfigError(f"gateway.listen: {listen} has no port from 0 to 65535")
    if not _is_loopback(host):
        raise ConfigError(
            f"gateway.listen: {listen} can be reached from other machines, and this gateway asks nobody for a key; "
            "listen on 127.0.0.1 and put a proxy that does in front of it"
        )
    return Address(host, int(port))


def cannot_listen(address: Address, error: OSError) -> ConfigError:
    """What to do about a bind that failed."""
    if error.errno == errno.EADDRINUSE:
        return ConfigError(
            f"gateway.listen: port {address.port} of {address.host} is taken by another process; "
            "end it, or set gateway.listen to another port"
        )
    return ConfigError(f"gateway.listen: cannot listen on {address.host}:{address.port}: {error.strerror or error}")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
