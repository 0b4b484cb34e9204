"""Whose process it is that speaks to us on this machine, as Linux has it."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from pathlib import Path
from typing import Final

_TABLES: Final = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
# A connection that its process has closed belongs to nobody any more, and the table says 0 for that, which is root.
_ESTABLISHED: Final = "01"


def user_of_peer(peer: tuple[str, int], own: tuple[str, int], tables: Iterable[Path] = _TABLES) -> int | None:
    """The user id of the process at the other end of the connection from `peer` to `own`, each an address and a port;
    None where that is no process of this machine (or network namespace), or the machine does not say."""
    wanted = (_normal(peer), _normal(own))
    for table in tables:
        try:
            lines = table.read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            if fields[3] == _ESTABLISHED and (_read(fields[1]), _read(fields[2])) == wanted:
                return int(fields[7])
    return None


def _read(place: str) -> tuple[str, int]:
    """0100007F:1F90 is 127.0.0.1, port 8080: words of 32 bits in the machine's own order, on all that matter little."""
    address, _, port = place.partition(":")
    words = (bytes.fromhex(address[at : at + 8])[::-1] for at in range(0, len(address), 8))
    return _plain(ipaddress.ip_address(b"".join(words))), int(port, 16)


def _normal(place: tuple[str, int]) -> tuple[str, int]:
    return _plain(ipaddress.ip_address(place[0].partition("%")[0])), place[1]


def _plain(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
    """An IPv4 address is one, also where an IPv6 socket speaks to it."""
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)
