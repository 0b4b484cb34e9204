"""Everything on this machine: Kafka, its topics, and one process a role, under one owner."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import FrameType

from stream_infer.definitions import Seal
from stream_infer.errors import ConfigError, ServiceUnavailable, UsageError
from stream_infer.kafka import admin
from stream_infer.local.broker import BrokerConfig, LocalBroker
from stream_infer.local.data_lock import DataLock
from stream_infer.local.deployments import Deployments, Means
from stream_infer.local.free_ports import is_free
from stream_infer.local.kept_broker import keep_alive
from stream_infer.local.role_process import Launch, LeashedRole, OnLine
from stream_infer.local.running_broker import broker_dir
from stream_infer.local.scaler import Scaler
from stream_infer.local.scaling_task import scaling, scaling_policies, scaling_policy, sightings_pipe
from stream_infer.local.sealing import seal_key
from stream_infer.local.supervision import RoleKind, RoleSpec, role_specs
from stream_infer.local.supervisor import SUPERVISOR, Report, Supervisor
from stream_infer.local.targets import SETTING, Shown
from stream_infer.settings import Settings

KAFKA = "kafka"
_DEPLOY_WITHOUT_KEY = "STREAM_INFER__GATEWAY__DEPLOY_WITHOUT_KEY"
# A killed predecessor's roles have their own deadlines to end in; the longest is 20 s.
_PREDECESSOR_S = 25.0
_SETTLING_S = 15.0
_AGAIN_AFTER_S = 0.2


@dataclass(frozen=True, slots=True)
class UpOptions:
    """A role's process is `program`, its own command, then `role_options`, in `environment` and Kafka's address.

    `workers`: processes for each API, always, instead of its `workers.min` to `workers.max`.
    """

    program: tuple[str, ...]
    role_options: tuple[str, ...]
    workers: int | None
    environment: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Ready:
    """Where everything is. `pids` holds each role's by its name, and Kafka's where it is ours; `targets` is the file
    that tells Prometheus of all of them."""

    gateway: str
    store: str
    bootstrap_servers: str
    apis: list[str]
    targets: str
    pids: dict[str, int]

    def write(self, file: Path) -> None:
        """Writes it as JSON; the file is there whole or not at all."""
        part = file.with_name(f".{file.name}.{os.getpid()}")
        part.write_text(json.dumps(asdict(self), indent=2) + "\n")
        part.replace(file)


def up(settings: Settings, options: UpOptions, report: Report, on_ready: Callable[[Ready], None]) -> None:
    """Serves until SIGINT, SIGTERM or SIGHUP, then ends all in order; a second one ends all at once.

    Call it in the main thread. Raises ConfigError or UsageError for what the user has to mend (a role that ended
    with status 2 too), ServiceUnavailable when Kafka cannot be had, KeyboardInterrupt when interrupted before the
    roles were started. Nothing it has started is left running.
    """
    with (
        _interrupted_by_sigterm(),
        _only_owner(settings.state_dir) as lock,
        contextlib.ExitStack() as stack,
    ):
        _check_gateway_port(settings.gateway.listen)
        broker = stack.enter_context(_kafka(settings, report))
        if broker is not None:
            kafka = settings.kafka.model_copy(update={"bootstrap_servers": broker.bootstrap_servers})
            settings = settings.model_copy(update={"kafka": kafka})
        _apply_topics(settings, _SETTLING_S if broker is not None else 0.0)
        asyncio.run(_supervise(settings, options, lock, broker, report, on_ready))


def process_names(settings: Settings, workers: int | None) -> list[str]:
    """Everyone who may have something to say, for a log with aligned names."""
    return [SUPERVISOR, KAFKA, *(spec.name for spec in role_specs((), (), settings.apis, workers))]


async def _supervise(
    settings: Settings,
    options: UpOptions,
    lock: DataLock,
    broker: LocalBroker | None,
    report: Report,
    on_ready: Callable[[Ready], None],
) -> None:
    # A Kafka of its own asks nobody who he is.
    key = None if broker is None else seal_key(settings.state_dir.absolute())
    specs = _sealing(role_specs(options.program, options.role_options, settings.apis, options.workers), key)
    sightings = sightings_pipe()
    shown = Shown(settings, specs)
    launch = _launcher(settings, options, lock, sightings.writing, shown)
    supervisor = Supervisor(specs, launch, report, on_gone=shown.forget)
    scaler = Scaler(scaling_policies(settings, options.workers), supervisor, report)
    deployments = Deployments(_means(settings, options, launch, key), supervisor, scaler, report)
    stop = _stop_on_signals(supervisor)
    ready = Ready(
        gateway=f"{settings.gateway.scheme}://{settings.gateway.listen}",
        store=settings.store,
        bootstrap_servers=settings.kafka.bootstrap,
        apis=[api.name for api in settings.apis],
        targets=str(shown.file),
        pids={KAFKA: broker.pid} if broker is not None else {},
    )
    all_ended = asyncio.Event()
    keeper = None
    if broker is not None:
        keeper = asyncio.create_task(keep_alive(broker, all_ended, lambda line: report(KAFKA, line)))
    try:
        with shown.announced():
            async with scaling(scaler, deployments, sightings, stop, report):
                await supervisor.run(stop, lambda: on_ready(replace(ready, pids={**ready.pids, **supervisor.pids})))
    finally:
        all_ended.set()
        if keeper is not None:
            await keeper


def _sealing(specs: list[RoleSpec], key: Path | None) -> list[RoleSpec]:
    """The gateway is told of the key."""
    if key is None:
        return specs
    gateway = RoleKind.GATEWAY
    return [replace(one, command=(*one.command, "--seal", str(key))) if one.kind is gateway else one for one in specs]


def _means(settings: Settings, options: UpOptions, launch: Launch, key: Path | None) -> Means:
    return Means(
        options.program,
        options.role_options,
        settings.state_dir.absolute() / "apis" / "revisions",
        launch,
        lambda api: scaling_policy(api, settings, options.workers),
        options.workers,
        None if key is None else Seal(key.read_bytes()),
    )


def _launcher(settings: Settings, options: UpOptions, lock: DataLock, sightings: int, shown: Shown) -> Launch:
    """Starts roles, each with the lock in its hands until it is really dead, and the lookout with where it tells.

    `shown`: where each shows its numbers.
    """
    environment = {**options.environment, "STREAM_INFER__KAFKA__BOOTSTRAP_SERVERS": settings.kafka.bootstrap}
    if settings.gateway.deploy_without_key is None and settings.gateway.api_keys_file is None:
        # Whoever has started all this is on this machine, as is its gateway: without keys it listens nowhere else.
        environment[_DEPLOY_WITHOUT_KEY] = "true"

    async def launch(spec: RoleSpec, on_line: OnLine) -> LeashedRole:
        fds = [lock.fd]
        if spec.kind is RoleKind.LOOKOUT:
            fds.append(sightings)
            spec = replace(spec, command=(*spec.command, "--to-fd", str(sightings)))
        address = shown.address_of(spec)
        own = {} if address is None else {SETTING: address}
        return await LeashedRole.launch(spec, on_line, environment={**environment, **own}, keep_fds=fds)

    return launch


def _stop_on_signals(supervisor: Supervisor) -> asyncio.Event:
    stop = asyncio.Event()

    def asked() -> None:
        if stop.is_set():
            supervisor.hurry()
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, asked)
    return stop


@contextlib.contextmanager
def _interrupted_by_sigterm() -> Iterator[None]:
    """Before and after the event loop SIGTERM and SIGHUP do what Ctrl-C does: the `with` blocks clean up."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _only_owner(state_dir: Path) -> Iterator[DataLock]:
    state_dir.mkdir(parents=True, exist_ok=True)
    try:
        lock = DataLock.take(state_dir.absolute(), _PREDECESSOR_S)
    except ServiceUnavailable as error:
        raise UsageError(f"there is a `stream-infer up` here already: {error}") from None
    try:
        yield lock
    finally:
        lock.release()


@contextlib.contextmanager
def _kafka(settings: Settings, report: Report) -> Iterator[LocalBroker | None]:
    """A local broker, unless the settings name one."""
    if settings.kafka.bootstrap_servers is not None:
        yield None
        return
    broker = LocalBroker(BrokerConfig(broker_dir(settings.state_dir)), lambda line: report(KAFKA, line))
    report(SUPERVISOR, "starting Kafka")
    broker.start()
    try:
        report(KAFKA, f"serves on {broker.bootstrap_servers}")
        yield broker
    finally:
        report(SUPERVISOR, "stopping Kafka")
        broker.stop()


def _apply_topics(settings: Settings, patience_s: float) -> None:
    """Past bug: a broker that serves clients may still answer NOT_COORDINATOR for a group of its last life."""
    deadline = time.monotonic() + patience_s
    while True:
        try:
            admin.apply(settings)
            return
        except ServiceUnavailable:
            if time.monotonic() >= deadline:
                raise
            time.sleep(_AGAIN_AFTER_S)


def _check_gateway_port(listen: str) -> None:
    host, _, port = listen.rpartition(":")
    if int(port) == 0:
        raise ConfigError(
            f"gateway.listen is {listen}, any free port, which nobody could know in advance and which would change "
            "with each restart of the gateway; under `up` set gateway.listen to a port, such as 127.0.0.1:8080"
        )
    if host in ("127.0.0.1", "localhost", "0.0.0.0") and not is_free(int(port), host):  # noqa: S104  # nosec B104
        raise ConfigError(
            f"the gateway cannot listen on {listen}: something else does. Stop it, or set gateway.listen to another"
        )
