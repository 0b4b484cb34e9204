"""The roles as processes of their own, started as an operator would, and again by a supervisor when they die."""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from stream_infer.local.leashed import LeashedProcess
from stream_infer.local.supervision import BAD_CONFIG, Restart, RestartPolicy, RoleKind, after_death, stop_deadline
from tests.soak.apis import SoakedApi

ROOT = Path(__file__).parents[2]
LOOK_EVERY_S = 0.1
MEASURE_EVERY_S = 2.0
# Kinder to who is killed often than `up` is: the schedule kills one role again and again.
POLICY = RestartPolicy(longest=2.0)


@dataclass(slots=True)
class Life:
    """One process of a role, from its start to its end. Times are seconds since the epoch."""

    name: str
    pid: int
    started: float
    ready: float | None = None
    ended: float | None = None
    status: int | None = None
    asked: bool = False
    killed: float | None = None

    @property
    def gave_up(self) -> bool:
        """It has ended, and nobody asked or killed it."""
        return self.ended is not None and not self.asked and self.killed is None


@dataclass(slots=True)
class Role:
    kind: RoleKind
    name: str
    arguments: tuple[str, ...]
    wanted: bool = True
    process: LeashedProcess | None = None
    ready_fd: int | None = None
    start_at: float = 0.0
    deaths: int = 0
    lives: list[Life] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Measured:
    """Resident bytes of one process at one time. `name` is the role's, with `/child` for a predictor's."""

    at: float
    name: str
    pid: int
    rss: int


class Supervisor:
    """Starts the roles, and again whoever dies. Its methods may be called from any thread."""

    def __init__(self, config: Path, folder: Path, env: Mapping[str, str]) -> None:
        self._config = config
        self._folder = folder
        self._env = {**os.environ, **env, "PYTHONPATH": str(ROOT)}
        self._env.pop("PYTHONDONTWRITEBYTECODE", None)
        self._roles: dict[str, Role] = {}
        self._lock = threading.RLock()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="supervisor", daemon=True)
        self._measured_at = 0.0
        self.measures: list[Measured] = []
        self.seen_pids: set[int] = set()
        self.given_up: list[str] = []

    def add(self, kind: RoleKind, name: str, *arguments: str) -> None:
        """One that was retired comes back."""
        with self._lock:
            self._roles.setdefault(name, Role(kind, name, arguments))
            self.bring_back(name)

    def add_worker(self, api: SoakedApi, slot: int) -> None:
        self.add(RoleKind.WORKER, worker_name(api, slot), "--api", api.name, "--slot", str(slot))

    def bring_back(self, name: str) -> None:
        """One that was retired is to run again."""
        with self._lock:
            role = self._roles[name]
            role.wanted, role.start_at = True, 0.0

    def start(self) -> None:
        self._thread.start()

    def names(self, kind: RoleKind) -> list[str]:
        with self._lock:
            return [role.name for role in self._roles.values() if role.kind is kind and role.wanted]

    def lives(self) -> list[Life]:
        with self._lock:
            return [life for role in self._roles.values() for life in role.lives]

    def is_ready(self, name: str, since: float = 0.0) -> bool:
        """Whether a process of the role that was started after `since` serves."""
        with self._lock:
            life = self._roles[name].lives[-1] if self._roles[name].lives else None
            return life is not None and life.ready is not None and life.ended is None and life.started >= since

    def pid(self, name: str) -> int | None:
        """Of a role that serves."""
        with self._lock:
            return self._roles[name].lives[-1].pid if self.is_ready(name) else None

    def signal(self, name: str, number: int) -> bool:
        """Sends it to the role's own process; False where there is none."""
        with self._lock:
            pid = self.pid(name)
            if pid is None:
                return False
            if number == signal.SIGKILL:
                self._roles[name].lives[-1].killed = time.time()
            return _signal(pid, number)

    def children(self, name: str) -> list[int]:
        pid = self.pid(name)
        return [] if pid is None else _children(pid)

    def retire(self, name: str) -> int | None:
        """TERM, and no new one; its exit status."""
        with self._lock:
            role = self._roles[name]
            role.wanted = False
            process = role.process
            if process is None:
                return None
            role.lives[-1].asked = True
        status = process.stop(stop_deadline(role.kind) + 15)
        with self._lock:
            self._bury(role, status)
        return status

    def stop(self) -> dict[str, int | None]:
        """Ends all roles in `up`'s order; their exit statuses."""
        self._ending.set()
        self._thread.join()
        self._measure(time.time())
        order = [RoleKind.GATEWAY, RoleKind.INTAKE, RoleKind.WORKER, RoleKind.SINK, RoleKind.TRACKER]
        return {name: self.retire(name) for kind in order for name in self.names(kind)}

    def kill(self) -> None:
        """Ends whatever still runs, without asking."""
        self._ending.set()
        for role in self._roles.values():
            if role.process is not None:
                for life in role.lives[-1:]:
                    _signal(life.pid, signal.SIGKILL)
                role.process.stop(1.0)

    def _run(self) -> None:
        while not self._ending.wait(LOOK_EVERY_S):
            now = time.time()
            with self._lock:
                for role in self._roles.values():
                    self._look(role, now)
            if now >= self._measured_at + MEASURE_EVERY_S:
                self._measured_at = now
                self._measure(now)

    def _look(self, role: Role, now: float) -> None:
        if role.process is None:
            if role.wanted and now >= role.start_at:
                self._start(role, now)
            return
        if role.ready_fd is not None and (said := _said(role.ready_fd)) is not None:
            if said:
                role.lives[-1].ready = now
            os.close(role.ready_fd)
            role.ready_fd = None
        status = role.process.poll()
        if status is not None:
            self._bury(role, status)

    def _start(self, role: Role, now: float) -> None:
        ready, says_ready = os.pipe()
        os.set_blocking(ready, False)
        command = [sys.executable, "-m", "stream_infer", "--log-style", "json", role.kind.value, *role.arguments]
        role.process = LeashedProcess.start(
            [*command, "-f", str(self._config), "--ready-fd", str(says_ready)],
            output=self._folder / f"{role.name}.log",
            grace_s=stop_deadline(role.kind),
            env=self._env,
            keep_fds=[says_ready],
        )
        os.close(says_ready)
        role.ready_fd = ready
        role.lives.append(Life(role.name, role.process.pid, now))
        self.seen_pids.add(role.process.pid)

    def _bury(self, role: Role, status: int) -> None:
        if role.process is None:
            return
        role.process.stop(1.0)
        role.process = None
        if role.ready_fd is not None:
            os.close(role.ready_fd)
            role.ready_fd = None
        life, now = role.lives[-1], time.time()
        life.ended, life.status = now, status
        if life.asked:
            return
        decision = after_death(POLICY, status, now - life.started, role.deaths)
        if status == BAD_CONFIG:
            self.given_up.append(role.name)
        role.deaths = decision.deaths if isinstance(decision, Restart) else 0
        role.start_at = now + (decision.delay if isinstance(decision, Restart) else 1.0)

    def _measure(self, now: float) -> None:
        with self._lock:
            running = [(role.name, role.lives[-1].pid) for role in self._roles.values() if role.process is not None]
        for name, pid in running:
            self._note(now, name, pid)
            for child in _children(pid):
                self.seen_pids.add(child)
                self._note(now, f"{name}/child", child)

    def _note(self, now: float, name: str, pid: int) -> None:
        rss = resident(pid)
        if rss is not None:
            self.measures.append(Measured(now, name, pid, rss))


def worker_name(api: SoakedApi, slot: int) -> str:
    """What the supervisor calls the API's worker on that slot."""
    return f"{RoleKind.WORKER.value}-{api.prefix}{slot}"


def resident(pid: int) -> int | None:
    """Bytes in memory; none of a process that has ended, also while its parent, which may be stopped, does not know."""
    try:
        return psutil.Process(pid).memory_info().rss or None
    except psutil.Error:
        return None


def wait_until(condition: Callable[[], object], within_s: float, every_s: float = 0.1) -> bool:
    deadline = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(every_s)
    return True


def all_ready(supervisor: Supervisor, names: Iterable[str]) -> bool:
    return all(supervisor.is_ready(name) for name in names)


def _children(pid: int) -> list[int]:
    try:
        return [child.pid for child in psutil.Process(pid).children(recursive=True)]
    except psutil.Error:
        return []


def _signal(pid: int, number: int) -> bool:
    """False where it has just ended, and nobody knows yet."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True


def _said(fd: int) -> bool | None:
    """None while nothing has come; False where the other end was closed without a word."""
    try:
        return bool(os.read(fd, 16))
    except BlockingIOError:
        return None
