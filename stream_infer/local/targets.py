"""Where each role of `up` shows its numbers, in the words of Prometheus (file_sd)."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from stream_infer.local.free_ports import find_free
from stream_infer.local.supervision import RoleKind, RoleSpec
from stream_infer.settings import Settings

SETTING = "STREAM_INFER__METRICS__LISTEN"
_HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Target:
    """One process. `address` is its host and port."""

    name: str
    role: RoleKind
    address: str


def targets_file(state_dir: Path) -> Path:
    return state_dir / "prometheus" / "targets.json"


def choose_addresses(settings: Settings, specs: Sequence[RoleSpec]) -> dict[str, str]:
    """For each process that shows its numbers an address of its own, by its name: also for those that answer HTTP
    elsewhere, where a key is asked for.

    The same one whenever it is started again, so that nobody has to be told.
    """
    names = [spec.name for spec in specs if spec.kind is not RoleKind.LOOKOUT]
    taken = _listens(settings)
    ports = [port for port in find_free(len(names) + len(taken)) if port not in taken]
    return {name: f"{_HOST}:{port}" for name, port in zip(names, ports, strict=False)}


def _listens(settings: Settings) -> set[int]:
    """Ports that somebody has chosen, and nobody listens at yet."""
    replicas = [(api.realtime, at) for api in settings.apis if api.realtime for at in range(api.realtime.replicas)]
    listens = [settings.gateway.listen, *(realtime.listen_of(at) for realtime, at in replicas)]
    return {int(listen.rpartition(":")[2]) for listen in listens}


def targets_of(specs: Sequence[RoleSpec], addresses: Mapping[str, str]) -> list[Target]:
    return [Target(spec.name, spec.kind, addresses[spec.name]) for spec in specs if spec.name in addresses]


def file_sd(targets: Sequence[Target]) -> list[dict[str, object]]:
    """What Prometheus reads: a target by the name that `up`'s log has for it."""
    return [
        {"targets": [target.address], "labels": {"instance": target.name, "role": target.role.value}}
        for target in targets
    ]


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
