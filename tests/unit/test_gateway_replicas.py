"""Which replica is asked."""

from stream_infer.gateway.replicas import Replicas


def ready(*urls, max_in_flight=2):
    replicas = Replicas(urls, max_in_flight)
    for replica in replicas.all:
        replica.note(None)
    return replicas


def test_one_that_has_not_said_that_it_is_ready_is_not_asked():
    replicas = Replicas(["a", "b"], 1)
    assert replicas.choose(()) is None
    assert replicas.faults() == ["a: it was not asked yet", "b: it was not asked yet"]
    assert replicas.all[1].note(None)
    assert not replicas.all[1].note(None)
    assert replicas.choose(()).url == "b"
    assert replicas.all[1].note("it is loading")
    assert replicas.choose(()) is None


def test_the_least_busy_one_is_asked_and_of_equals_the_one_that_has_waited_longest():
    replicas = ready("a", "b", "c")
    assert [replicas.choose(()).url for _ in range(4)] == ["a", "b", "c", "a"]
    replicas.all[0].outstanding = replicas.all[1].outstanding = 1
    assert replicas.choose(()).url == "c"
    assert replicas.choose({"c"}).url == "b"
    assert replicas.choose({"a", "b", "c"}) is None


def test_they_are_full_once_as_much_is_outstanding_as_all_take():
    replicas = ready("a", "b")
    replicas.all[0].outstanding = 3
    assert not replicas.are_full
    replicas.all[1].outstanding = 1
    assert replicas.are_full
