"""Where each role of `up` shows its numbers, in the words of Prometheus (file_sd)."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from stream_infer.local.free_ports import find_free
from stream_infer.local.supervision import RoleKind, RoleSpec, own_replicas
from stream_infer.settings import Settings

SETTING = "STREAM_INFER__METRICS__LISTEN"
_HOST = "127.0.0.1"
# These have no HTTP of their own.
_SERVED_BESIDE = frozenset({RoleKind.INTAKE, RoleKind.WORKER, RoleKind.SINK, RoleKind.TRACKER})


@dataclass(frozen=True, slots=True)
class Target:
    """One process. `address` is its host and port."""

    name: str
    role: RoleKind
    address: str
    scheme: str = "http"


def targets_file(state_dir: Path) -> Path:
    return state_dir / "prometheus" / "targets.json"


def choose_addresses(settings: Settings, specs: Sequence[RoleSpec]) -> dict[str, str]:
    """For each process that serves its numbers beside its work an address of its own, by its name.

    The same one whenever it is started again, so that nobody has to be told.
    """
    names = [spec.name for spec in specs if spec.kind in _SERVED_BESIDE]
    taken = {int(target.address.rpartition(":")[2]) for target in _own_servers(settings)}
    ports = [port for port in find_free(len(names) + len(taken)) if port not in taken]
    return {name: f"{_HOST}:{port}" for name, port in zip(names, ports, strict=False)}


def targets_of(settings: Settings, specs: Sequence[RoleSpec], addresses: Mapping[str, str]) -> list[Target]:
    beside = [Target(spec.name, spec.kind, addresses[spec.name]) for spec in specs if spec.name in addresses]
    return [*_own_servers(settings), *beside]


def _own_servers(settings: Settings) -> Iterator[Target]:
    """The roles that answer HTTP anyway, as far as it is known where."""
    yield Target("gateway", RoleKind.GATEWAY, _local(settings.gateway.listen), settings.gateway.scheme)
    for api in settings.apis:
        for number in range(own_replicas(api)):
            if api.realtime is not None and not api.realtime.listen.endswith(":0"):
                yield Target(f"realtime {api.name}/{number}", RoleKind.REALTIME, _local(api.realtime.listen_of(number)))


def _local(listen: str) -> str:
    host, _, port = listen.rpartition(":")
    return f"{_HOST}:{port}" if host in ("localhost", "0.0.0.0") else listen  # noqa: S104 - asked  # nosec B104


def file_sd(targets: Sequence[Target]) -> list[dict[str, object]]:
    """What Prometheus reads: a target by the name that `up`'s log has for it."""
    return [
        {"targets": [target.address], "labels": {"instance": target.name, "role": target.role.value} | _scheme(target)}
        for target in targets
    ]


def _scheme(target: Target) -> dict[str, str]:
    return {} if target.scheme == "http" else {"__scheme__": target.scheme}


@contextlib.contextmanager
def announced(targets: Sequence[Target], file: Path) -> Iterator[None]:
    """The file is there, whole, while the block runs."""
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f".{file.name}.{os.getpid()}")
    part.write_text(json.dumps(file_sd(targets), indent=2) + "\n")
    part.replace(file)
    try:
        yield
    finally:
        file.unlink(missing_ok=True)
