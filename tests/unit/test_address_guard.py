import asyncio
import socket

import pytest
from aiohttp.abc import AbstractResolver

from connectors.fetchers.addresses import GuardedResolver, check_literal, objection
from stream_infer.errors import RefusedItem


@pytest.mark.parametrize(
    ("address", "word"),
    [
        ("127.0.0.1", "loopback"),
        ("127.255.255.254", "loopback"),
        ("::1", "loopback"),
        ("0.0.0.0", "unspecified"),
        ("::", "unspecified"),
        ("10.0.0.1", "private"),
        ("172.16.0.1", "private"),
        ("192.168.1.1", "private"),
        ("fd12::1", "private"),
        ("169.254.1.1", "link-local"),
        ("fe80::1", "link-local"),
        ("fe80::1%eth0", "link-local"),
        ("fec0::1", "site-local"),
        ("224.0.0.1", "multicast"),
        ("ff02::1", "multicast"),
        ("100.64.0.1", "CGNAT"),
        ("240.0.0.1", "reserved"),
        ("255.255.255.255", "reserved"),
        ("192.0.2.1", "reserved"),
        ("2001:db8::1", "reserved"),
        ("169.254.169.254", "metadata"),
        ("169.254.170.2", "metadata"),
        ("100.100.100.200", "metadata"),
        ("168.63.129.16", "metadata"),
        ("192.0.0.192", "metadata"),
        ("fd00:ec2::254", "metadata"),
        ("::ffff:127.0.0.1", "loopback"),
        ("::ffff:10.0.0.1", "private"),
        ("::ffff:169.254.169.254", "metadata"),
        ("::127.0.0.1", "loopback"),
        ("64:ff9b::10.0.0.1", "private"),
        ("64:ff9b:1::1", "private"),
        ("2002:7f00:1::", "loopback"),
        ("2001:0:4136:e378:8000:63bf:80ff:fffe", "reserved"),
    ],
)
def test_an_address_that_is_not_public_is_refused_with_its_kind(address, word):
    assert word in objection(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "1.1.1.1", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8"])
def test_a_public_address_is_let_through(address):
    assert objection(address) is None


@pytest.mark.parametrize("host", ["2130706433", "127.1", "0177.0.0.1", "127.0.0.1.", "10.0.0.1", "::1"])
def test_a_host_that_is_an_address_in_any_spelling_is_checked_without_a_resolver(host):
    with pytest.raises(RefusedItem, match=r"fetch\.allow_private_addresses"):
        check_literal(host)


@pytest.mark.parametrize("host", ["example.org", "8.8.8.8", "xn--bcher-kva.example", "1e100.net"])
def test_names_and_public_addresses_pass_the_check_of_literals(host):
    check_literal(host)


class Answers(AbstractResolver):
    """Resolves every name to the addresses given."""

    def __init__(self, *addresses):
        self.addresses = addresses

    async def resolve(self, host, port=0, family=socket.AF_INET):
        return [
            {"hostname": host, "host": address, "port": port, "family": family, "proto": 0, "flags": 0}
            for address in self.addresses
        ]

    async def close(self):
        pass


async def resolve(*addresses):
    return await GuardedResolver(Answers(*addresses)).resolve("pictures.example", 80)


def test_the_resolver_hands_out_the_very_addresses_that_it_checked():
    assert [result["host"] for result in asyncio.run(resolve("8.8.8.8", "1.1.1.1"))] == ["8.8.8.8", "1.1.1.1"]


def test_one_private_address_among_public_ones_refuses_the_name():
    with pytest.raises(RefusedItem, match=r"pictures\.example \(10\.0\.0\.7\) is not a public address"):
        asyncio.run(resolve("8.8.8.8", "10.0.0.7"))
