"""A RoleProcess without a process: the test says what it does. The contract suite runs on it and on the real one."""

import asyncio
from collections.abc import Callable

from stream_infer.local.role_process import OnLine
from stream_infer.local.supervision import RoleSpec

KILLED = 137


class FakeRole:
    """Ends with 0 when asked to, unless `deaf`; with 137 when killed; with any status by `die`. `asked` is set once it
    was asked."""

    def __init__(
        self, pid: int, on_line: OnLine, *, deaf: bool = False, on_end: Callable[[], None] = lambda: None
    ) -> None:
        self.pid = pid
        self.on_line = on_line
        self.asked = asyncio.Event()
        self._deaf = deaf
        self._on_end = on_end
        self._ready: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._status: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def ready(self) -> bool:
        return await asyncio.shield(self._ready)

    async def wait(self) -> int:
        return await asyncio.shield(self._status)

    def ask_to_end(self) -> None:
        self.asked.set()
        if not self._deaf:
            self.die(0)

    def kill(self) -> None:
        self.die(KILLED)

    def say_ready(self) -> None:
        if not self._ready.done():
            self._ready.set_result(True)

    def die(self, status: int) -> None:
        if self._status.done():
            return
        self._on_end()
        self._status.set_result(status)
        if not self._ready.done():
            self._ready.set_result(False)


class FakeLauncher:
    """Launches FakeRoles and keeps them by name, oldest first. `behave` is applied to each new one."""

    def __init__(self, behave: Callable[[RoleSpec, FakeRole], None] = lambda _spec, role: role.say_ready()) -> None:
        self._behave = behave
        self.started: dict[str, list[FakeRole]] = {}
        self.ended: list[str] = []
        self.deaf: set[str] = set()
        self._changed = asyncio.Event()

    async def __call__(self, spec: RoleSpec, on_line: OnLine) -> FakeRole:
        await asyncio.sleep(0)
        roles = self.started.setdefault(spec.name, [])
        pid = 1000 + sum(map(len, self.started.values()))
        role = FakeRole(pid, on_line, deaf=spec.name in self.deaf, on_end=lambda: self.ended.append(spec.name))
        roles.append(role)
        self._behave(spec, role)
        self._changed.set()
        return role

    async def nth(self, name: str, number: int) -> FakeRole:
        """The role's `number`-th process, counted from 1, once it has been started."""
        while len(self.started.get(name, [])) < number:
            self._changed.clear()
            await self._changed.wait()
        return self.started[name][number - 1]
