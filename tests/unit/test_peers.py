"""Whose process speaks to us, in the words of Linux."""

import os
import socket

from stream_infer.http.peers import user_of_peer

HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
OURS, THEIRS = ("127.0.0.1", 8080), ("127.0.0.1", 40000)


def table(path, *rows):
    lines = [f"   {number}: {row} 00000000:00000000 00:00000000 00000000 " for number, row in enumerate(rows)]
    path.write_text(HEAD + "\n".join(lines) + "\n")
    return [path]


def row(local, remote, state, user):
    return f"{local} {remote} {state} 00000000:00000000 00:00000000 00000000  {user}        0 1"


def test_the_user_is_that_of_the_other_end(tmp_path):
    ours, theirs = "0100007F:1F90", "0100007F:9C40"
    tables = table(tmp_path / "tcp", row(ours, theirs, "01", 1000), row(theirs, ours, "01", 1234))

    assert user_of_peer(THEIRS, OURS, tables) == 1234
    assert user_of_peer(("127.0.0.1", 40001), OURS, tables) is None


def test_a_connection_that_its_process_has_closed_is_nobodys_and_not_roots(tmp_path):
    tables = table(tmp_path / "tcp", row("0100007F:9C40", "0100007F:1F90", "05", 0))

    assert user_of_peer(THEIRS, OURS, tables) is None


def test_an_ipv4_address_is_one_in_an_ipv6_socket_too(tmp_path):
    mapped = "0000000000000000FFFF00000100007F"
    tables = table(tmp_path / "tcp6", row(f"{mapped}:9C40", f"{mapped}:1F90", "01", 7))

    assert user_of_peer(THEIRS, OURS, tables) == 7
    assert user_of_peer(("::ffff:127.0.0.1", 40000), OURS, tables) == 7


def test_a_machine_that_does_not_say_knows_nobody(tmp_path):
    assert user_of_peer(THEIRS, OURS, [tmp_path / "nothing"]) is None


def test_a_real_connection_is_ours():
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        accepted, peer = server.accept()
        with accepted:
            assert user_of_peer(peer, accepted.getsockname()) == os.getuid()
            client.close()
            assert user_of_peer(peer, accepted.getsockname()) is None
