"""The address guard: which network addresses an item's URL, or a webhook's, may not make this process talk to."""

from __future__ import annotations

import socket
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from aiohttp.abc import AbstractResolver, ResolveResult

from stream_infer.errors import RefusedItem

_Network = IPv4Network | IPv6Network

# What `ipaddress` of some supported Python calls global, although it answers inside a cloud or a carrier only.
_NAMED: tuple[tuple[_Network, str], ...] = (
    (IPv4Network("100.64.0.0/10"), "shared by a carrier's customers (CGNAT)"),
    (IPv4Network("168.63.129.16/32"), "a cloud's metadata service (Azure)"),
    (IPv4Network("192.0.0.0/24"), "kept for protocols (Oracle's metadata service is among them)"),
    (IPv4Network("192.88.99.0/24"), "kept for protocols (6to4 relays)"),
    (IPv6Network("64:ff9b:1::/48"), "private (NAT64)"),
    (IPv6Network("fec0::/10"), "private (site-local)"),
)
_METADATA = frozenset({"169.254.169.254", "169.254.170.2", "169.254.170.23", "100.100.100.200", "fd00:ec2::254"})
_ITEMS_MAY = "If items may make workers talk to it, set fetch.allow_private_addresses"
_EMBEDDING = (IPv6Network("64:ff9b::/96"), IPv6Network("::/96"))


def objection(host: str) -> str | None:
    """Why the IP address `host` may not be reached, or None where it is public. Raises ValueError for a name."""
    return _objection(ip_address(host))


def _objection(address: IPv4Address | IPv6Address) -> str | None:
    """IPv6 addresses that carry an IPv4 one are judged by that."""
    if str(address).partition("%")[0] in _METADATA:
        return "a cloud's metadata service"
    for holds, word in (
        (address.is_unspecified, "unspecified"),
        (address.is_loopback, "loopback"),
        (address.is_link_local, "link-local"),
        (address.is_multicast, "multicast"),
    ):
        if holds:
            return word
    if isinstance(address, IPv6Address) and (inner := _embedded(address)) is not None:
        return _objection(inner)
    for network, word in _NAMED:
        if address.version == network.version and address in network:
            return word
    return None if address.is_global and not address.is_reserved else "private or reserved"


def _embedded(address: IPv6Address) -> IPv4Address | None:
    """The IPv4 address inside a mapped, 6to4, NAT64 or IPv4-compatible address."""
    if any(address in network for network in _EMBEDDING):
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour


def check_literal(host: str, advice: str = _ITEMS_MAY) -> None:
    """Checks a host that is an address already: aiohttp asks no resolver for those. Raises RefusedItem, whose message
    ends with `advice`.
    """
    try:
        reason = objection(host)
    except ValueError:
        # 2130706433, 127.1 and the like: no name, and what connects reads them as an address.
        reason = "not a plain IPv4 address" if host.replace(".", "").isdigit() else None
    if reason is not None:
        raise RefusedItem(_refusal(host, host, reason, advice))


class GuardedResolver(AbstractResolver):
    """Refuses a name of which any address is not public.

    aiohttp connects to the very addresses returned here, so a name that answers differently the next time (DNS
    rebinding) gains nothing.
    """

    def __init__(self, inner: AbstractResolver, advice: str = _ITEMS_MAY) -> None:
        self._inner = inner
        self._advice = advice

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Raises RefusedItem, or OSError as the inner resolver has it."""
        results = await self._inner.resolve(host, port, family)
        for result in results:
            if (reason := objection(result["host"])) is not None:
                raise RefusedItem(_refusal(host, result["host"], reason, self._advice))
        return results

    async def close(self) -> None:
        await self._inner.close()


def _refusal(host: str, address: str, reason: str, advice: str) -> str:
    where = host if host == address else f"{host} ({address})"
    return f"{where} is not a public address: it is {reason}. {advice}"
