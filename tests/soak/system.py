"""The system under test, every part a process of its own: Kafka, S3, the proxies before them, and all roles."""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from stream_infer.configuration import load_settings
from stream_infer.kafka.admin import apply
from stream_infer.local.free_ports import find_free
from stream_infer.local.supervision import RoleKind
from stream_infer.settings import Settings
from tests.soak import items
from tests.soak.apis import APIS, SoakedApi
from tests.soak.cluster import cluster_in
from tests.soak.faults import Arena
from tests.soak.plan import WINDOW, Plan
from tests.soak.roles import Supervisor, all_ready, wait_until
from tests.soak.store import BUCKET, StoreServer, store_in
from tests.support.settings import PREDICTORS, predictor
from tests.support.toxiproxy import Toxiproxy

PREFIX = "soak"
READY_WITHIN_S = 90.0
CREW = {RoleKind.SINK: 2, RoleKind.INTAKE: 2, RoleKind.TRACKER: 2, RoleKind.GATEWAY: 1}
"""Beside the workers."""

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class System:
    """A running system. `settings` reach Kafka directly, the roles' own go through the proxies."""

    settings: Settings
    arena: Arena
    folder: Path
    gateway: str


@contextmanager
def system_in(folder: Path, plan: Plan, say: Say) -> Iterator[System]:
    """Kafka, S3, the proxies and all roles, each of its own process; ready."""
    for name in ("calls", "attempts", "completed", "roles", "state"):
        (folder / name).mkdir()
    with ExitStack() as stack:
        toxiproxy = stack.enter_context(Toxiproxy.start(folder))
        store = stack.enter_context(store_in(folder, toxiproxy))
        cluster = stack.enter_context(cluster_in(folder, plan.brokers, toxiproxy))
        [port] = find_free(1)
        config = _write_config(folder, plan, cluster.proxied, port)
        settings = load_settings(config, {"STREAM_INFER__KAFKA__BOOTSTRAP_SERVERS": cluster.direct})
        apply(settings)
        supervisor = Supervisor(config, folder / "roles", store.behind.environment())
        stack.callback(supervisor.kill)
        for kind, count in CREW.items():
            for number in range(count):
                supervisor.add(kind, f"{kind.value}-{number}")
        for api in APIS:
            for slot in range(api.workers):
                supervisor.add_worker(api, slot)
        supervisor.start()
        names = [name for kind in RoleKind for name in supervisor.names(kind)]
        if not wait_until(lambda: all_ready(supervisor, names), READY_WITHIN_S):
            late = [name for name in names if not supervisor.is_ready(name)]
            raise RuntimeError(f"not ready within {READY_WITHIN_S:.0f} s: {late}")
        ports = [*cluster.direct.split(","), *cluster.proxied.split(","), store.proxy.listen, f"127.0.0.1:{port}"]
        (folder / "ports").write_text(" ".join(place.rpartition(":")[2] for place in ports))
        say(f"{len(names)} roles, {plan.brokers} brokers, S3 and toxiproxy are ready; work folder {folder}")
        arena = Arena(cluster, store, supervisor, plan.session_timeout)
        yield System(settings, arena, folder, f"http://127.0.0.1:{port}")


def _write_config(folder: Path, plan: Plan, bootstrap: str, port: int) -> Path:
    config: dict[str, Any] = {
        "kafka": {
            "bootstrap_servers": bootstrap,
            "topic_prefix": PREFIX,
            "replication_factor": plan.brokers,
            "session_timeout": plan.session_timeout,
        },
        "store": f"s3://{BUCKET}/store",
        "state_dir": str(folder / "state"),
        "gateway": {"listen": f"127.0.0.1:{port}"},
        "jobs": {"partitions": 4},
        "fetch": {"allowed_directories": [str(folder)], "allowed_s3_prefixes": [f"s3://{BUCKET}/input"]},
        "limits": {"payload_bytes": 256 * 1024},
        "sink": {"flush_age": 1.0, "eof_linger": 0.3},
        "apis": [_api(api, folder, plan) for api in APIS],
    }
    file = folder / "stream-infer.yaml"
    file.write_text(yaml.safe_dump(config))
    return file


def _api(api: SoakedApi, folder: Path, plan: Plan) -> dict[str, Any]:
    return {
        "name": api.name,
        "partitions": 6,
        "predictor": _predictor(api, folder, plan),
        "batching": {
            "max_batch_size": api.batch,
            "call_timeout": 2.0 + api.batch * plan.pause(api),
            "load_timeout": 60,
        },
        "workers": {"min": api.workers, "max": api.workers + 1},
        "retry": {"max_attempts": items.MAX_ATTEMPTS, "delays": list(items.DELAYS)},
        "breaker": {"window": WINDOW},
    }


def _predictor(api: SoakedApi, folder: Path, plan: Plan) -> dict[str, Any]:
    config = {
        "pause": plan.pause(api),
        "folder": str(folder),
        "retry_after": items.RETRY_AFTER_S,
        "mark_every": items.MARK_EVERY,
    }
    if api.type == "cortex":
        return {"type": "cortex", "path": str(PREDICTORS / "soaking_cortex.py"), "config": config, "instances": 16}
    if api.type == "sagemaker":
        env = {"SOAKING": json.dumps(config)}
        return {"type": "sagemaker", "model": str(PREDICTORS / "soaking_sagemaker"), "env": env}
    return predictor("soaking.py:Soaking", **config)


@contextmanager
def credentials_of(store: StoreServer) -> Iterator[None]:
    """boto3 takes them from the environment."""
    mine = store.direct.environment()
    before = {name: os.environ.get(name) for name in mine}
    os.environ.update(mine)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
