"""A cortex.yaml, as it is, in the words of stream-infer.yaml. Nothing behind this knows Cortex's.

- name: iris                        since the second generation a list of APIs
  kind: BatchAPI                    none: a realtime API
  predictor: {type: python, path: predictor.py, config: {…}}        later `handler`

- kind: deployment                  the first had this before its APIs
  name: iris
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from stream_infer.configuration.complaints import Complaint
from stream_infer.configuration.cortex_keys import (
    IGNORED_OF_API,
    IGNORED_OF_AUTOSCALING,
    IGNORED_OF_PREDICTOR,
    REFUSED_KINDS,
    REFUSED_OF_API,
    REFUSED_OF_PREDICTOR,
    Reasons,
)
from stream_infer.configuration.yaml_text import Document, KeyPath
from stream_infer.nearest import did_you_mean

_KINDS: Final = {
    None: "realtime",
    "api": "realtime",
    "RealtimeAPI": "realtime",
    "SyncAPI": "realtime",
    "BatchAPI": "batch",
    "AsyncAPI": "async",
}
_SECTIONS: Final = ("handler", "predictor", "python")
_KNOWN_OF_API = ("name", "kind", *_SECTIONS, "autoscaling", "python_path", "metadata")
_KNOWN_OF_PREDICTOR = (
    "type", "path", "predictor", "config", "metadata", "python_path", "env", "server_side_batching",
)  # fmt: skip
# As long as Cortex let a batch take and a model load, and as large as it let a batch be; whole ones are waited for.
_BATCHING_OF_BATCHES: Final = {"max_batch_size": 1024, "max_wait_ms": 1000, "call_timeout": 3600, "load_timeout": 1800}
# Each is called for by itself: nobody is to wait for those that came with it.
_BATCHING_OF_REQUESTS: Final = {"max_batch_size": 1, "max_wait_ms": 0}
_MOST_WORKERS_OF_BATCHES = 4
_DURATION = re.compile(r"(?P<number>\d+(\.\d+)?)(?P<unit>ms|s|m)")
_MILLISECONDS = {"ms": 1, "s": 1000, "m": 60_000}
_FIRST_PORT, _PORTS_OF_AN_API = 8090, 100


@dataclass(slots=True)
class CortexDocument:
    """`document` is what stream-infer.yaml would say. `notes`: what was left out on purpose, a line each."""

    document: Document
    notes: list[str] = field(default_factory=list)
    complaints: list[Complaint] = field(default_factory=list)


def from_cortex(entries: Sequence[Any], lines: Mapping[KeyPath, int]) -> CortexDocument:
    """Reads a list of Cortex's resources; `lines` are those of its keys."""
    reading = _Reading(lines)
    for at, entry in enumerate(entries):
        reading.read(at, entry)
    return CortexDocument(Document({"apis": reading.apis}, reading.lines), reading.notes, reading.complaints)


class _Reading:
    """Goes through the entries once, and collects what is to be said of them."""

    def __init__(self, lines: Mapping[KeyPath, int]) -> None:
        self.apis: list[dict[str, Any]] = []
        self.lines: dict[KeyPath, int] = {path: line for path, line in lines.items() if path and path[0] != "apis"}
        self.notes: list[str] = []
        self.complaints: list[Complaint] = []
        self._given = lines
        self._python_path: str | None = None

    def read(self, at: int, entry: Any) -> None:
        if not isinstance(entry, dict):
            self._complain((at,), f"entry {at + 1}", "an API has keys and values, such as name and predictor")
            return
        kind, name = entry.get("kind"), str(entry.get("name", f"entry {at + 1}"))
        if kind == "deployment":
            self._python_path = entry.get("python_path", entry.get("python_root"))
            self._note((at,), name, "the deployment's name is not needed: POST /ANY/{api} finds the API")
        elif isinstance(kind, str) and kind in REFUSED_KINDS:
            self._complain((at, "kind"), f"{name}.kind", f"{kind} {REFUSED_KINDS[kind]}")
        elif kind not in _KINDS:
            known = [each for each in _KINDS if each is not None]
            self._complain((at, "kind"), f"{name}.kind", f"{kind!r} is unknown{_nearest(str(kind), known)}")
        else:
            self._api(at, entry, name, _KINDS[kind])

    def _api(self, at: int, entry: dict[str, Any], name: str, kind: str) -> None:
        place = ("apis", len(self.apis))
        self._check((at,), name, entry, _KNOWN_OF_API, IGNORED_OF_API, REFUSED_OF_API)
        section = next((each for each in _SECTIONS if each in entry), None)
        if section is None or not isinstance(entry[section], dict):
            if not set(entry) & set(REFUSED_OF_API):
                self._complain((at,), f"{name}.predictor", "is missing: it names the predictor's type and path")
            return
        for path, line in self._given.items():
            if path[:1] == (at,):
                self.lines[(*place, *("predictor" if part == section else part for part in path[1:]))] = line
        predictor = self._predictor((at, section), f"{name}.{section}", entry, entry[section], kind)
        api = {"name": entry.get("name"), "predictor": predictor}
        api["batching"] = dict(_BATCHING_OF_BATCHES if kind == "batch" else _BATCHING_OF_REQUESTS)
        lists = entry[section].get("server_side_batching")
        if kind != "batch" and isinstance(lists, dict):
            self._lists((at, section, "server_side_batching"), f"{name}.{section}", lists, api)
        self.apis.append(api | self._processes(at, name, entry, kind))

    def _predictor(
        self, path: KeyPath, name: str, entry: dict[str, Any], given: dict[str, Any], kind: str
    ) -> dict[str, Any]:
        self._check(path, name, given, _KNOWN_OF_PREDICTOR, IGNORED_OF_PREDICTOR, REFUSED_OF_PREDICTOR)
        runtime = given.get("type", "python")
        if runtime != "python":
            self._complain(
                (*path, "type"), f"{name}.type", f"{runtime!r} needs Cortex's own runtime; load the model in a "
                "PythonPredictor, and write python",
            )  # fmt: skip
        predictor = {
            "type": "cortex",
            "kind": kind,
            "path": given.get("path", given.get("predictor")),
            "config": given.get("config", given.get("metadata", entry.get("metadata"))) or {},
            "python_path": given.get("python_path", entry.get("python_path", self._python_path)),
            "env": {key: str(value) for key, value in (given.get("env") or {}).items()},
        }
        return {key: value for key, value in predictor.items() if value is not None}

    def _lists(self, path: KeyPath, name: str, wish: dict[str, Any], api: dict[str, Any]) -> None:
        """Cortex's own batching: of so many requests, or of those that came within an interval."""
        name = f"{name}.server_side_batching"
        self._check(path, name, wish, ("max_batch_size", "batch_interval"), {}, {})
        interval = _DURATION.fullmatch(str(wish.get("batch_interval", "0s")))
        if interval is None:
            self._complain((*path, "batch_interval"), f"{name}.batch_interval", "is no duration such as 100ms or 0.5s")
            return
        size = wish.get("max_batch_size", 1)
        api["predictor"]["batch_size"] = api["batching"]["max_batch_size"] = size
        api["batching"]["max_wait_ms"] = float(interval["number"]) * _MILLISECONDS[interval["unit"]]

    def _processes(self, at: int, name: str, entry: dict[str, Any], kind: str) -> dict[str, Any]:
        """Replicas are workers; those of a realtime API answer requests, and its workers start when jobs come."""
        scaling = entry.get("autoscaling")
        low, high = (0, _MOST_WORKERS_OF_BATCHES) if kind == "batch" else (1, 1)
        if isinstance(scaling, dict):
            known = ("min_replicas", "max_replicas")
            self._check((at, "autoscaling"), f"{name}.autoscaling", scaling, known, IGNORED_OF_AUTOSCALING, {})
            low = scaling.get("min_replicas", low)
            high = scaling.get("max_replicas", max(low, high) if isinstance(low, int) else high)
        if kind != "realtime":
            return {"workers": {"min": low, "max": high}}
        listen = f"127.0.0.1:{_FIRST_PORT + _PORTS_OF_AN_API * len(self.apis)}"
        return {"workers": {"min": 0, "max": high}, "realtime": {"replicas": low, "listen": listen}}

    def _check(
        self,
        path: KeyPath,
        name: str,
        given: Mapping[str, Any],
        known: Sequence[str],
        ignored: Reasons,
        refused: Reasons,
    ) -> None:
        for key in given:
            if key in known:
                continue
            if key in ignored:
                self._note((*path, key), f"{name}.{key}", ignored[key])
            elif key in refused:
                self._complain((*path, key), f"{name}.{key}", refused[key])
            else:
                near = _nearest(str(key), [*known, *ignored, *refused])
                self._complain((*path, key), f"{name}.{key}", f"unknown key of a cortex.yaml{near}")

    def _note(self, path: KeyPath, name: str, why: str) -> None:
        line = self._given.get(path)
        self.notes.append(f"{name}{'' if line is None else f' (line {line})'} is ignored: {why}")

    def _complain(self, path: KeyPath, name: str, message: str) -> None:
        self.complaints.append(Complaint(path, message, name))


def _nearest(given: str, known: Sequence[str]) -> str:
    return did_you_mean(given, known, f": known are {', '.join(known)}")
