"""Where a role listens."""

from __future__ import annotations

import errno
import ipaddress
from typing import Literal, NamedTuple

from stream_infer.errors import ConfigError


class Address(NamedTuple):
    """`port` 0 asks the system for a free one. `setting` is what names it, for what is said about it."""

    host: str
    port: int
    setting: str
    scheme: Literal["http", "https"] = "http"

    @property
    def url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


def listen_address(listen: str, setting: str) -> Address:
    """The address `listen`, which `setting` says. Raises ConfigError where it is none."""
    host, _, port = listen.rpartition(":")
    host = "127.0.0.1" if host == "localhost" else host.strip("[]")
    if int(port) > 65535:
        raise ConfigError(f"{setting}: {listen} has no port from 0 to 65535")
    return Address(host, int(port), setting)


def require_keys_beyond_loopback(address: Address, keys: int | None) -> None:
    """`keys`: how many there are; None: nobody is asked for one. Raises ConfigError where others could reach us."""
    if keys or address.is_loopback:
        return
    why = "nobody is asked for a key there" if keys is None else "no key is known that would let anybody in"
    raise ConfigError(
        f"{address.setting}: {address.host}:{address.port} can be reached from other machines, and {why}; "
        "name a file of keys in gateway.api_keys_file (`stream-infer keys new NAME --add` makes them), or listen on "
        "127.0.0.1 and put a proxy that asks for one in front of it"
    )


def cannot_listen(address: Address, error: OSError) -> ConfigError:
    """What to do about a bind that failed."""
    if error.errno == errno.EADDRINUSE:
        return ConfigError(
            f"{address.setting}: port {address.port} of {address.host} is taken by another process; "
            f"end it, or set {address.setting} to another port"
        )
    return ConfigError(f"{address.setting}: cannot listen on {address.host}:{address.port}: {error.strerror or error}")
