"""Where a role listens."""

from __future__ import annotations

import errno
import ipaddress
from typing import NamedTuple

from stream_infer.errors import ConfigError


class Address(NamedTuple):
    """`port` 0 asks the system for a free one. `setting` is what names it, for what is said about it."""

    host: str
    port: int
    setting: str

    @property
    def url(self) -> str:
        return f"http://[{self.host}]:{self.port}" if ":" in self.host else f"http://{self.host}:{self.port}"


def listen_address(listen: str, setting: str) -> Address:
    """The address `listen`, which `setting` says. Raises ConfigError where it is not of this machine alone."""
    host, _, port = listen.rpartition(":")
    host = "127.0.0.1" if host == "localhost" else host.strip("[]")
    if int(port) > 65535:
        raise ConfigError(f"{setting}: {listen} has no port from 0 to 65535")
    if not _is_loopback(host):
        raise ConfigError(
            f"{setting}: {listen} can be reached from other machines, and nobody is asked for a key there; "
            "listen on 127.0.0.1 and put a proxy that does in front of it"
        )
    return Address(host, int(port), setting)


def cannot_listen(address: Address, error: OSError) -> ConfigError:
    """What to do about a bind that failed."""
    if error.errno == errno.EADDRINUSE:
        return ConfigError(
            f"{address.setting}: port {address.port} of {address.host} is taken by another process; "
            f"end it, or set {address.setting} to another port"
        )
    return ConfigError(f"{address.setting}: cannot listen on {address.host}:{address.port}: {error.strerror or error}")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
