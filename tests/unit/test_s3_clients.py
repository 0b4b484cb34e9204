import pytest

from connectors import s3_clients
from connectors.policy import FetchPolicy
from connectors.s3_clients import FRESH_S, S3Clients
from connectors.sources.opening import Opener


class Client:
    def __init__(self) -> None:
        self.is_closed = False

    def close(self) -> None:
        self.is_closed = True


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[Client]:
    made: list[Client] = []

    def make(_access: object) -> Client:
        made.append(Client())
        return made[-1]

    monkeypatch.setattr(s3_clients, "s3_client", make)
    return made


def test_all_who_read_at_the_same_time_have_one_client_which_the_last_of_them_closes(made: list[Client]) -> None:
    clients = S3Clients()
    one, other = clients.lend(), clients.lend()
    assert one.client is other.client
    one.release()
    one.release()
    assert not made[0].is_closed
    other.release()
    assert made[0].is_closed
    assert clients.lend().client is not one.client
    assert len(made) == 2


def test_a_client_that_is_old_is_lent_no_more_and_its_users_may_end(made: list[Client]) -> None:
    now = [0.0]
    clients = S3Clients(clock=lambda: now[0])
    old = clients.lend()
    now[0] = FRESH_S
    new = clients.lend()
    assert (len(made), old.is_fresh, new.is_fresh) == (2, False, True)
    old.release()
    assert [client.is_closed for client in made] == [True, False]
    new.release()
    assert [client.is_closed for client in made] == [True, True]


def test_a_reading_of_many_objects_makes_one_client_and_a_new_one_when_it_is_old(made: list[Client]) -> None:
    now = [0.0]
    clients = S3Clients(clock=lambda: now[0])
    policy = FetchPolicy(allowed_s3_prefixes=("s3://b",))
    with Opener(policy, clients) as opener:
        assert made == []
        for _ in range(3):
            opener.file("s3://b/k")
            clients.lend().release()
        assert len(made) == 1
        now[0] = FRESH_S
        opener.file("s3://b/k")
        assert [client.is_closed for client in made] == [True, False]
    assert [client.is_closed for client in made] == [True, True]
