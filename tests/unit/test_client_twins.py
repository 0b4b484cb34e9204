"""The client with asyncio has what the one without has; importing either loads nothing heavy."""

import asyncio
import inspect
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

import stream_infer
from stream_infer.clients import async_client
from stream_infer.clients.async_client import AsyncClient
from stream_infer.clients.async_gateway import AsyncGateway
from stream_infer.clients.async_job import AsyncJob, AsyncRows
from stream_infer.clients.client import Client
from stream_infer.clients.gateway import Gateway
from stream_infer.clients.job import Job, Rows
from stream_infer.errors import UsageError

HEAVY = ("confluent_kafka", "torch", "faust", "aiohttp", "boto3", "pandas", "numpy", "stream_infer.kafka", "connectors")


def surface(kind: type[Any]) -> dict[str, list[tuple[str, Any, Any]]]:
    """What there is to call, and with what: names, kinds and defaults."""
    return {
        name: [(each.name, each.kind, each.default) for each in inspect.signature(member).parameters.values()]
        for name, member in inspect.getmembers(kind, inspect.isfunction)
        if not name.startswith("_")
    }


@pytest.mark.parametrize(
    ("one", "other"), [(Client, AsyncClient), (Job, AsyncJob), (Rows, AsyncRows), (Gateway, AsyncGateway)]
)
def test_twins_are_asked_alike(one: type[Any], other: type[Any]) -> None:
    assert surface(one) == surface(other)
    assert {name for name, _ in inspect.getmembers(one, inspect.isdatadescriptor)} == {
        name for name, _ in inspect.getmembers(other, inspect.isdatadescriptor)
    }


@pytest.mark.parametrize("name", ["stream_infer", "stream_infer.clients.opening", "stream_infer.compat.cortex"])
def test_importing_a_client_loads_no_kafka_no_model_and_no_server(name: str) -> None:
    script = f"import sys, {name}; print(sorted(name for name in {HEAVY!r} if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "[]\n"


def test_importing_the_package_alone_loads_next_to_nothing() -> None:
    script = "import sys, stream_infer; print([name for name in ('pydantic', 'httpx', 'rich') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "[]\n"


def test_a_client_is_made_without_asking_anybody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("STREAM_INFER_GATEWAY", "http://gateway.internal:8080/")
    with stream_infer.client() as client:
        assert client.url == "http://gateway.internal:8080"
    with pytest.raises(UsageError, match="is no address"):
        stream_infer.client("gateway.internal")

    async def opened() -> str:
        async with stream_infer.async_client("http://h:1") as twin:
            return twin.url

    assert asyncio.run(opened()) == "http://h:1"


def test_code_is_packed_beside_the_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """A project may have hundreds of megabytes."""
    packed_on: list[threading.Thread] = []

    def deployment(*_given: object) -> None:
        packed_on.append(threading.current_thread())
        raise UsageError("far enough")

    monkeypatch.setattr(async_client, "deployment", deployment)

    async def deploy() -> None:
        async with stream_infer.async_client("http://h:1") as client:
            await client.create_api({"name": "cats"})

    with pytest.raises(UsageError, match="far enough"):
        asyncio.run(deploy())
    assert packed_on[0] is not threading.main_thread()
