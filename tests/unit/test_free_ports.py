"""Ports that are chosen for servers."""

import socket
import subprocess
import sys

import pytest

from stream_infer.local import free_ports
from stream_infer.local.free_ports import SERVERS, find_free, hold, is_free


def test_they_differ_can_be_bound_and_are_given_to_no_connection_meanwhile():
    ports = find_free(5)
    assert len(set(ports)) == 5
    assert all(is_free(port) and port in SERVERS for port in ports)


def test_what_one_has_chosen_nobody_else_finds_though_its_server_is_not_there_yet(monkeypatch):
    [chosen] = find_free(1)
    look = f"from stream_infer.local.free_ports import hold; print(hold({chosen}))"
    said = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True, timeout=60).stdout
    assert said == "False\n"

    monkeypatch.setattr(free_ports, "SERVERS", range(chosen, chosen + 1))
    with pytest.raises(OSError, match="has no 1 free ports"):
        find_free(1)
    with socket.create_server(("127.0.0.1", chosen)):
        assert not is_free(chosen)


def test_a_process_that_chooses_again_and_again_holds_the_latest_ones_alone(monkeypatch):
    monkeypatch.setattr(free_ports, "_HELD", 3)
    first, *others = find_free(4)

    assert len(free_ports._held) == 3
    assert hold(first)
    assert not hold(others[-1])


def test_ports_that_are_named_are_passed_by(monkeypatch):
    [first] = find_free(1)
    monkeypatch.setattr(free_ports, "SERVERS", range(first, first + 2))
    monkeypatch.setattr(free_ports, "is_free", lambda *_: True)
    monkeypatch.setattr(free_ports, "hold", lambda *_: True)

    assert find_free(1, but_not=[first]) == [first + 1]


def test_one_that_is_taken_is_not_free():
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert not is_free(server.getsockname()[1])
