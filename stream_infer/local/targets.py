"""Where each role of `up` shows its numbers, in the words of Prometheus (file_sd)."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

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


def choose_addresses(
    settings: Settings, specs: Sequence[RoleSpec], given: Mapping[str, str] = MappingProxyType({})
) -> dict[str, str]:
    """For each process that shows its numbers an address of its own, by its name: also for those that answer HTTP
    elsewhere, where a key is asked for.

    The same one whenever it is started again, so that nobody has to be told: also where it was `given` one before.
    """
    silent = (RoleKind.LOOKOUT, RoleKind.PREPARE)
    names = [spec.name for spec in specs if spec.kind not in silent and spec.name not in given]
    taken = _listens(settings) | {_port(address) for address in given.values()}
    ports = find_free(len(names), but_not=taken)
    return {name: f"{_HOST}:{port}" for name, port in zip(names, ports, strict=True)}


def _listens(settings: Settings) -> set[int]:
    """Ports that somebody has chosen, and nobody listens at yet."""
    replicas = [(api.realtime, at) for api in settings.apis if api.realtime for at in range(api.realtime.replicas)]
    listens = [settings.gateway.listen, *(realtime.listen_of(at) for realtime, at in replicas)]
    return set(map(_port, listens))


def _port(listen: str) -> int:
    return int(listen.rpartition(":")[2])


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
    announce(targets, file)
    try:
        yield
    finally:
        file.unlink(missing_ok=True)


def announce(targets: Sequence[Target], file: Path) -> None:
    """In place of what it said before."""
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f".{file.name}.{os.getpid()}")
    part.write_text(json.dumps(file_sd(targets), indent=2) + "\n")
    part.replace(file)


class Shown:
    """Where each process of `up` shows its numbers; one that comes later is told of with the others."""

    def __init__(self, settings: Settings, specs: Sequence[RoleSpec]) -> None:
        self.file = targets_file(settings.state_dir.absolute())
        self._settings = settings
        self._specs = {spec.name: spec for spec in specs}
        self._addresses = choose_addresses(settings, specs)

    def announced(self) -> AbstractContextManager[None]:
        return announced(self._targets(), self.file)

    def address_of(self, spec: RoleSpec) -> str | None:
        """None: it shows none."""
        if spec.name not in self._addresses and (new := choose_addresses(self._settings, [spec], self._addresses)):
            self._addresses |= new
            self._specs[spec.name] = spec
            announce(self._targets(), self.file)
        return self._addresses.get(spec.name)

    def forget(self, name: str) -> None:
        """There is no such process any more: who watches would take it for dead."""
        if self._addresses.pop(name, None) is not None:
            del self._specs[name]
            announce(self._targets(), self.file)

    def _targets(self) -> list[Target]:
        return targets_of([*self._specs.values()], self._addresses)
