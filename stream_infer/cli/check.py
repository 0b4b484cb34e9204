"""`stream-infer check`: everything that can be found out before the first item, one line a check."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import typer

from stream_infer.cli.context import ConfigFile, Invocation, Output, OutputOption, invocation_of
from stream_infer.cli.naming import Command
from stream_infer.cli.printing import put
from stream_infer.errors import ServiceUnavailable, StreamInferError, TopicMismatch

if TYPE_CHECKING:
    from stream_infer.settings import ApiSettings, Settings

_CLOSE_S = 10.0


@dataclass(frozen=True, slots=True)
class Finding:
    """The end of one check. `exit_code` is 0 where all is well; `said` is one line or more."""

    name: str
    exit_code: int
    said: str


def register(app: typer.Typer) -> None:
    app.command(cls=Command)(check)


def check(ctx: typer.Context, file: ConfigFile = None, output: OutputOption = Output.TABLE) -> None:
    """Validate the configuration, reach Kafka and the store, load each predictor and run its warm-up."""
    invocation = invocation_of(ctx)
    invocation.on_note = lambda note: typer.echo(note, err=True)
    settings = invocation.settings_for_kafka(file)
    names = ", ".join(api.name for api in settings.apis) or "none, so nothing would be served"
    findings = [Finding("configuration", 0, f"APIs: {names}")]
    if output is Output.TABLE:
        _show(findings[0])
    for finding in _findings(invocation, settings):
        findings.append(finding)
        if output is Output.TABLE:
            _show(finding)
    if output is not Output.TABLE:
        put([asdict(finding) for finding in findings], output)
    raise typer.Exit(max(finding.exit_code for finding in findings))


def _findings(invocation: Invocation, settings: Settings) -> Iterator[Finding]:
    kafka = _finding("kafka", lambda: _kafka(invocation, settings))
    yield kafka
    if kafka.exit_code == 0:
        topics = _finding("topics", lambda: _topics(settings))
        yield topics
        if topics.exit_code == 0:
            yield _finding("offsets", lambda: _offsets(settings))
    yield _finding("store", lambda: _store(settings))
    yield check_gateway(settings)
    for api in settings.apis:
        yield _finding(f"predictor of {api.name}", lambda api=api: _predictor(settings, api))  # type: ignore[misc]


def _finding(name: str, check_it: Callable[[], str]) -> Finding:
    try:
        return Finding(name, 0, check_it())
    except StreamInferError as error:
        return Finding(name, error.exit_code, "\n".join([str(error), *getattr(error, "__notes__", ())]))


def _show(finding: Finding) -> None:
    first, *more = finding.said.rstrip().splitlines() or [""]
    typer.echo(f"{'ok' if finding.exit_code == 0 else 'FAILED':<6} {finding.name}: {first}")
    for line in more:
        typer.echo(f"       {line}")


def _kafka(invocation: Invocation, settings: Settings) -> str:
    from stream_infer.kafka import admin

    try:
        return f"{settings.kafka.bootstrap}, brokers: {admin.count_brokers(settings)}"
    except StreamInferError as error:
        invocation.explain(error)
        raise


def _topics(settings: Settings) -> str:
    from stream_infer.kafka import admin

    plan = admin.plan(settings)
    if plan.refusals:
        raise TopicMismatch("\n".join(plan.refusals))
    admin.check_topics(settings)
    differing = [step for step in plan.steps if step.alter]
    if differing:
        lines = [f"{step.spec.name}: {step.describe()}" for step in differing]
        raise TopicMismatch("\n".join([*lines, "Run 'stream-infer topics apply' to alter them."]))
    return f"{len(plan.steps)} topics are as they should be"


def _offsets(settings: Settings) -> str:
    from stream_infer.kafka import admin

    conflicts = [*admin.missing_first_offsets(settings), *admin.retention_conflicts(settings)]
    if conflicts:
        raise TopicMismatch("\n".join(conflicts))
    return "every group has its place, and an idle group keeps it"


def _store(settings: Settings) -> str:
    from stream_infer.cli.composition import formats_of, store_of

    store = store_of(settings)
    formats_of(settings)
    key, data = f"_check/{uuid.uuid4().hex}", b"stream-infer check"
    store.put(key, data)
    try:
        if store.get(key) != data:
            raise ServiceUnavailable(f"{store.uri(key)} was written, and reads otherwise")
    finally:
        store.delete(key)
    return f"{settings.store} takes, gives and deletes objects"


def check_gateway(settings: Settings) -> Finding:
    """Whether the gateway, and replicas, may listen where they are to, and with what. Listens nowhere."""
    return _finding("gateway", lambda: _gateway(settings))


def _gateway(settings: Settings) -> str:
    from stream_infer.http.address import listen_address, require_keys_beyond_loopback
    from stream_infer.http.guards import Guards
    from stream_infer.http.keys_file import open_keys
    from stream_infer.http.tls import open_tls

    guards = Guards(open_keys(settings.gateway), open_tls(settings.gateway.tls))
    require_keys_beyond_loopback(listen_address(settings.gateway.listen, "gateway.listen"), guards.number_of_keys)
    for api in settings.apis:
        if api.realtime is not None:
            setting = f"apis.{api.name}.realtime.listen"
            require_keys_beyond_loopback(listen_address(api.realtime.listen, setting), guards.number_of_keys)
    asks = "nobody is asked for a key" if guards.keys is None else f"keys: {guards.number_of_keys}"
    return f"{settings.gateway.listen}, {asks}" + ("" if guards.tls is None else ", TLS")


def _predictor(settings: Settings, api: ApiSettings) -> str:
    from stream_infer.cli.composition import with_local_model
    from stream_infer.engine.configured import engine_policy, predictor_spec
    from stream_infer.engine.engine import Engine

    spec = with_local_model(settings, predictor_spec(api.predictor))
    engine = Engine(spec, engine_policy(api.batching))
    try:
        engine.start()
        engine.wait_ready(api.batching.load_timeout)
        return f"{engine.predictor_name} is loaded and warm"
    finally:
        engine.close(_CLOSE_S)
