"""The faults: one function each, and one row of `FAULTS`. Each does its harm and returns once it is over."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from random import Random

from stream_infer.local.supervision import RoleKind
from tests.soak.apis import APIS
from tests.soak.claims import BROKERS, NETWORK, STORE, Claims
from tests.soak.cluster import Cluster, Node, in_parallel
from tests.soak.roles import Supervisor, wait_until, worker_name
from tests.soak.store import StoreServer
from tests.support.toxiproxy import Latency, LimitData, Proxy, ResetPeer, Timeout, Toxic

READY_WITHIN_S = 60.0


@dataclass(frozen=True, slots=True)
class Arena:
    """Everything that can be hurt. `session_timeout` in seconds."""

    cluster: Cluster
    store: StoreServer
    supervisor: Supervisor
    session_timeout: float
    claims: Claims = field(default_factory=Claims)

    def kafka_proxies(self) -> list[Proxy]:
        return [node.proxy for node in self.cluster.nodes]


@dataclass(frozen=True, slots=True)
class Harm:
    """What was done. `since` (seconds since the epoch): from when on the system could recover.

    `reborn` are roles that have to serve again for that, by a process of after `since`.
    """

    victim: str
    since: float
    reborn: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Fault:
    """`watched`: the groups whose work has to go on. `needs` says when it can be done at all."""

    name: str
    act: Callable[[Arena, Random], Harm]
    watched: tuple[str, ...]
    needs: Callable[[Arena], bool] = lambda _: True


def kill_role(kind: RoleKind, arena: Arena, chance: Random) -> Harm:
    with _one_that_serves(kind, arena, chance) as name:
        at = time.time()
        arena.supervisor.signal(name, signal.SIGKILL)
    return Harm(name, at, (name,))


def stop_role(kind: RoleKind, arena: Arena, chance: Random) -> Harm:
    """Stopped for longer than its session: it wakes up and believes that nothing has happened."""
    with _one_that_serves(kind, arena, chance) as name:
        arena.supervisor.signal(name, signal.SIGSTOP)
        try:
            time.sleep(arena.session_timeout * 1.4)
        finally:
            arena.supervisor.signal(name, signal.SIGCONT)
        return Harm(name, time.time())


def kill_predictor(arena: Arena, chance: Random) -> Harm:
    """As the kernel does when it is short of memory."""
    with _one_that_serves(RoleKind.WORKER, arena, chance) as name:
        at = time.time()
        for pid in arena.supervisor.children(name)[:1]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    return Harm(name, at)


def worker_joins(arena: Arena, chance: Random) -> Harm:
    """One more for a while; it leaves in order."""
    api = chance.choice(APIS)
    name = worker_name(api, api.workers)
    with arena.claims.hold(name):
        since = time.time()
        arena.supervisor.add_worker(api, api.workers)
        wait_until(lambda: arena.supervisor.is_ready(name, since), READY_WITHIN_S)
        time.sleep(2 * _moment(arena))
        arena.supervisor.retire(name)
    return Harm(name, time.time())


def worker_leaves(arena: Arena, chance: Random) -> Harm:
    """TERM, and back after a moment."""
    with _one_that_serves(RoleKind.WORKER, arena, chance) as name:
        arena.supervisor.retire(name)
        time.sleep(_moment(arena))
        at = time.time()
        arena.supervisor.bring_back(name)
    return Harm(name, at, (name,))


def _moment(arena: Arena) -> float:
    return arena.session_timeout / 4


@contextmanager
def _a_broker(arena: Arena, chance: Random) -> Iterator[Node]:
    """One, while no other is being hurt: two at a time are beyond what three replicas promise."""
    with arena.claims.hold(BROKERS):
        arena.cluster.wait_until_whole()
        yield chance.choice(arena.cluster.nodes)


def restart_broker(arena: Arena, chance: Random) -> Harm:
    with _a_broker(arena, chance) as node:
        at = time.time()
        node.stop()
        node.start()
        return Harm(f"broker {node.number}", at)


def kill_broker(arena: Arena, chance: Random) -> Harm:
    with _a_broker(arena, chance) as node:
        at = time.time()
        node.kill()
        node.start()
        return Harm(f"broker {node.number}", at)


def stop_broker(arena: Arena, chance: Random) -> Harm:
    """Its connections stay open and nobody answers."""
    with _a_broker(arena, chance) as node:
        pid = node.pid
        os.kill(pid, signal.SIGSTOP)
        try:
            time.sleep(arena.session_timeout)
        finally:
            os.kill(pid, signal.SIGCONT)
        return Harm(f"broker {node.number}", time.time())


def change_leaders(arena: Arena, chance: Random) -> Harm:
    """Each partition is led by its first replica again; where it is already, a restart moves it away before."""
    with _a_broker(arena, chance) as node:
        at, moved = time.time(), arena.cluster.elect_preferred()
        if not moved:
            node.stop()
            node.start()
            arena.cluster.wait_until_whole()
            at, moved = time.time(), arena.cluster.elect_preferred()
        return Harm(f"{moved} partitions", at)


def cut_network(factor: float, arena: Arena, _chance: Random) -> Harm:
    """Between all roles and all brokers, for `factor` session timeouts."""
    with ExitStack() as stack:
        stack.enter_context(arena.claims.hold(NETWORK))
        for proxy in arena.kafka_proxies():
            stack.enter_context(proxy.cut())
        time.sleep(arena.session_timeout * factor)
    return Harm("all brokers", time.time())


def poison_network(toxic: Toxic, seconds: float, arena: Arena, _chance: Random) -> Harm:
    with ExitStack() as stack:
        stack.enter_context(arena.claims.hold(NETWORK))
        for proxy in arena.kafka_proxies():
            stack.enter_context(proxy.under(toxic))
        time.sleep(seconds)
    return Harm("all brokers", time.time())


def cut_store(seconds: float, arena: Arena, _chance: Random) -> Harm:
    with arena.claims.hold(STORE), arena.store.proxy.cut():
        time.sleep(seconds)
    return Harm("S3", time.time())


def poison_store(toxic: Toxic, seconds: float, arena: Arena, _chance: Random) -> Harm:
    with arena.claims.hold(STORE), arena.store.proxy.under(toxic):
        time.sleep(seconds)
    return Harm("S3", time.time())


def kill_store(arena: Arena, _chance: Random) -> Harm:
    with arena.claims.hold(STORE):
        arena.store.kill()
        time.sleep(3.0)
        arena.store.start()
    return Harm("S3", time.time())


def fill_store(arena: Arena, _chance: Random) -> Harm:
    with arena.claims.hold(STORE):
        arena.store.fill()
        try:
            time.sleep(6.0)
        finally:
            arena.store.empty()
    return Harm("S3", time.time())


def _one_that_serves(kind: RoleKind, arena: Arena, chance: Random) -> AbstractContextManager[str]:
    """One that no other fault is at. Raises TimeoutError where none serves in a minute."""
    roles = arena.supervisor
    return arena.claims.one_of(
        lambda: [name for name in roles.names(kind) if roles.pid(name) is not None], chance, READY_WITHIN_S
    )


WORK, SINK, TRACK = "worker", "sink", "tracker"
ALL = (WORK, SINK, TRACK)
OF_ROLE = {
    RoleKind.WORKER: (WORK,),
    RoleKind.SINK: (SINK,),
    RoleKind.INTAKE: (WORK,),
    RoleKind.TRACKER: (TRACK,),
    RoleKind.GATEWAY: (),
}


def _has_several(arena: Arena) -> bool:
    return len(arena.cluster.nodes) > 1


FAULTS = (
    *(Fault(f"kill -9 {kind.value}", partial(kill_role, kind), groups) for kind, groups in OF_ROLE.items()),
    *(Fault(f"SIGSTOP {kind.value}", partial(stop_role, kind), groups) for kind, groups in OF_ROLE.items()),
    Fault("kill -9 predictor", kill_predictor, (WORK,)),
    Fault("worker joins", worker_joins, (WORK,)),
    Fault("worker leaves", worker_leaves, (WORK,)),
    Fault("broker restart", restart_broker, ALL),
    Fault("broker kill -9", kill_broker, ALL),
    Fault("broker SIGSTOP", stop_broker, ALL),
    Fault("leader change", change_leaders, ALL, _has_several),
    Fault("network cut", partial(cut_network, 0.5), ALL),
    Fault("network cut, long", partial(cut_network, 2.0), ALL),
    Fault("network latency", partial(poison_network, Latency(0.2, 0.1), 6.0), ALL),
    Fault("network resets", partial(poison_network, ResetPeer(0.3), 4.0), ALL),
    Fault("network black hole", partial(poison_network, Timeout(), 5.0), ALL),
    Fault("S3 cut", partial(cut_store, 6.0), (SINK,)),
    Fault("S3 latency", partial(poison_store, Latency(1.0, 0.5), 6.0), (SINK,)),
    Fault("S3 resets", partial(poison_store, ResetPeer(0.05), 6.0), (SINK,)),
    Fault("S3 breaks off uploads", partial(poison_store, LimitData(200, "upstream"), 6.0), (SINK,)),
    Fault("S3 kill -9", kill_store, (SINK,)),
    Fault("S3 disk full", fill_store, (SINK,), lambda arena: arena.store.is_small),
)
BY_NAME = {fault.name: fault for fault in FAULTS}


def undo_all(arena: Arena) -> None:
    """Whatever a fault that failed half-way has left: nothing stopped, nothing cut, no disk full."""
    for proxy in (*arena.kafka_proxies(), arena.store.proxy):
        proxy.enable()
    arena.store.proxy.api.reset()
    arena.store.empty()
    in_parallel(lambda life: _continue(life.pid), [life for life in arena.supervisor.lives() if life.ended is None])


def _continue(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGCONT)
