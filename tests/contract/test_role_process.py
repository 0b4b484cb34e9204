"""What a supervisor may expect of a role's process: the fake of the unit tests and the leashed one keep it alike."""

import asyncio
import os
import sys
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from stream_infer.local.role_process import LeashedRole, RoleProcess
from stream_infer.local.supervision import RoleKind, RoleSpec
from tests.support.fake_role import FakeRole
from tests.support.processes import survivors

Start = Callable[[str], Coroutine[Any, Any, RoleProcess]]

SERVES = "import os, sys, time; print('serving', flush=True); os.write(int(sys.argv[-1]), b'x'); time.sleep(600)"
ENDS = "import sys; print('last words'); sys.exit(3)"


@pytest.fixture
def lines() -> list[str]:
    return []


@pytest.fixture(params=["fake", "leashed"])
def start(request: pytest.FixtureRequest, lines: list[str]) -> Start:
    async def leashed(code: str) -> RoleProcess:
        spec = RoleSpec(RoleKind.GATEWAY, "gateway", (sys.executable, "-c", code))
        return await LeashedRole.launch(spec, lines.append, environment=dict(os.environ))

    async def fake(code: str) -> RoleProcess:
        role = FakeRole(1, lines.append)
        if code == SERVES:
            role.on_line("serving")
            role.say_ready()
        else:
            role.on_line("last words")
            role.die(3)
        return role

    return leashed if request.param == "leashed" else fake


def play(scenario: Coroutine[Any, Any, None]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(20):
            await scenario

    asyncio.run(bounded())


def test_it_is_ready_when_it_says_so_and_ends_when_asked(start: Start, lines: list[str]) -> None:
    async def scenario() -> None:
        role = await start(SERVES)
        assert await role.ready()
        role.ask_to_end()
        role.ask_to_end()
        assert await role.wait() in (0, 143)  # 143: python's own answer to SIGTERM
        assert await role.wait() in (0, 143)
        assert lines == ["serving"]

    play(scenario())


def test_one_that_ends_before_it_serves_was_never_ready(start: Start, lines: list[str]) -> None:
    async def scenario() -> None:
        role = await start(ENDS)
        assert not await role.ready()
        assert await role.wait() == 3
        assert lines == ["last words"]

    play(scenario())


def test_a_killed_one_ends_with_137(start: Start) -> None:
    async def scenario() -> None:
        role = await start(SERVES)
        await role.ready()
        role.kill()
        assert await role.wait() == 137
        role.kill()

    play(scenario())


def launch(code: str, on_line: Callable[[str], None]) -> Coroutine[Any, Any, LeashedRole]:
    spec = RoleSpec(RoleKind.GATEWAY, "gateway", (sys.executable, "-c", code))
    return LeashedRole.launch(spec, on_line, environment=dict(os.environ))


def test_what_a_role_has_started_ends_with_it(lines: list[str]) -> None:
    async def scenario() -> None:
        code = "import subprocess; print(subprocess.Popen(['sleep', '600']).pid)"
        role = await launch(code, lines.append)
        assert await role.wait() == 0
        assert survivors([int(lines[0])], within_s=5) == []

    play(scenario())


def test_a_role_that_was_killed_from_outside_reports_the_signal(lines: list[str]) -> None:
    async def scenario() -> None:
        role = await launch(SERVES, lines.append)
        await role.ready()
        os.kill(role.pid, 9)
        assert await role.wait() == 137

    play(scenario())


def test_lines_of_any_length_arrive_and_broken_bytes_do_not_hurt(lines: list[str]) -> None:
    async def scenario() -> None:
        code = r"import os; os.write(1, b'x' * 200_000 + b'\n\xff\r\nno newline at the end')"
        role = await launch(code, lines.append)
        await role.wait()
        assert "".join(lines[:-2]) == "x" * 200_000
        assert lines[-2:] == ["\N{REPLACEMENT CHARACTER}", "no newline at the end"]

    play(scenario())


def test_a_command_that_cannot_be_executed_ends_with_127_and_says_so(lines: list[str]) -> None:
    async def scenario() -> None:
        spec = RoleSpec(RoleKind.GATEWAY, "gateway", ("/nowhere/stream-infer",))
        role = await LeashedRole.launch(spec, lines.append, environment=dict(os.environ))
        assert await role.wait() == 127
        assert not await role.ready()
        assert "/nowhere/stream-infer" in lines[0]

    play(scenario())
