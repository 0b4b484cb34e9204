"""Ports that are chosen for servers."""

import socket

from stream_infer.local.free_ports import SERVERS, find_free, is_free


def test_they_differ_can_be_bound_and_are_given_to_no_connection_meanwhile():
    ports = find_free(5)
    assert len(set(ports)) == 5
    assert all(is_free(port) and port in SERVERS for port in ports)


def test_one_that_is_taken_is_not_free():
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert not is_free(server.getsockname()[1])
