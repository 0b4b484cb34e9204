"""`stream-infer.yaml`, the one configuration file, as typed values. `configuration.py` reads it.

Times are in seconds and sizes in bytes unless the name says otherwise. Unknown keys are errors.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from stream_infer.http_settings import (
    ApiWebhook,
    GatewaySettings,
    MetricsSettings,
    RealtimeSettings,
    WebhooksSettings,
)
from stream_infer.predictor_settings import CortexPredictor, PredictorSettings, SettingsPart
from stream_infer.results import Results
from stream_infer.security_settings import SecuritySettings

MIB = 1024 * 1024
_NAME = r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"


class KafkaSettings(SettingsPart):
    """Without `bootstrap_servers` `up` starts a local broker, and every other command finds it; else localhost:9092."""

    bootstrap_servers: str | None = None
    topic_prefix: str = Field(default="stream-infer", pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,80}$")
    replication_factor: int = Field(default=1, ge=1)
    security: SecuritySettings = SecuritySettings()
    session_timeout: float = Field(default=10.0, ge=1, le=300)
    transaction_timeout: float = Field(default=10.0, ge=1, le=300)

    @property
    def bootstrap(self) -> str:
        return self.bootstrap_servers or "localhost:9092"


class FetchSettings(SettingsPart):
    """What a worker may read by reference. Nothing on this machine or in S3 unless it is listed here."""

    allowed_directories: list[Path] = Field(default_factory=list)
    allowed_s3_prefixes: list[str] = Field(default_factory=list)
    allow_private_addresses: bool = False
    timeout: float = Field(default=30.0, gt=0)
    max_bytes: int = Field(default=64 * MIB, gt=0)
    concurrency: int = Field(default=32, ge=1)


class LimitSettings(SettingsPart):
    """What the HTTP API accepts. `payload_bytes` is the largest item that travels in a message.

    `upload_bytes` bounds one file that is sent, `uploads` how many a gateway receives at a time, `code_bytes` the
    packed code of an API that is deployed. Of one caller, by its API key, at each gateway: `requests_per_second`,
    unless its key has its own, and `caller_bodies_bytes` of the `bodies_bytes` that are held at a time.
    """

    request_bytes: int = Field(default=32 * MIB, gt=0)
    bodies_bytes: int = Field(default=256 * MIB, gt=0)
    caller_bodies_bytes: int = Field(default=128 * MIB, gt=0)
    inline_items: int = Field(default=100_000, gt=0)
    payload_bytes: int = Field(default=1 * MIB, gt=0)
    upload_bytes: int = Field(default=1024 * MIB, gt=0)
    uploads: int = Field(default=4, ge=1)
    code_bytes: int = Field(default=64 * MIB, gt=0)
    requests_per_second: float | None = Field(default=None, gt=0, allow_inf_nan=False)


class LogSettings(SettingsPart):
    """How each role logs, unless `--log-style` or `--debug` say otherwise. `format` auto: text on a terminal (and under
    `up`), JSON elsewhere. `level`: what is below it is left out.
    """

    format: Literal["auto", "json", "text"] = "auto"
    level: Literal["debug", "info", "warning", "error"] = "info"


class JobsSettings(SettingsPart):
    """`partitions` of the job-keyed topics can never change; `retention` is how long a job is remembered."""

    partitions: int = Field(default=4, ge=1)
    retention: float = Field(default=30 * 86400.0, gt=0)


class IntakeSettings(SettingsPart):
    """`ahead_seconds` of work may wait in the topic; a transaction publishes at most `chunk_items`."""

    ahead_seconds: float = Field(default=10.0, gt=0)
    chunk_items: int = Field(default=1000, ge=1)


class SinkSettings(SettingsPart):
    """A flush happens at `flush_bytes`, at `flush_age`, or `eof_linger` after the first record once all is read.

    `allowed_outputs`: where jobs may have objects assembled, beside their own folders in the store.
    """

    flush_bytes: int = Field(default=8 * MIB, gt=0)
    flush_age: float = Field(default=10.0, gt=0)
    eof_linger: float = Field(default=0.5, ge=0)
    allowed_outputs: list[Annotated[str, Field(pattern=r"^(s3|file)://")]] = Field(default_factory=list)


class ModelsSettings(SettingsPart):
    """How models that lie elsewhere come to this machine: below `state_dir`, where they are kept.

    `tracking_uri`: where MLflow keeps its runs and models: a folder, or http(s)://…, sqlite:///…
    """

    max_bytes: int = Field(default=10 * 1024 * MIB, gt=0)
    tracking_uri: str | None = Field(default=None, min_length=1)


AUTO: Final = "auto"
_PRESUMED_BATCH_SIZE = 64


def _batch_size(value: object) -> object:
    """One complaint instead of one for each kind that it may be."""
    if value == AUTO or (not isinstance(value, bool) and re.fullmatch(r"0*[1-9]\d{0,8}", str(value))):
        return value
    raise ValueError(f"{value!r} is neither a whole number from 1 on nor {AUTO}")


class BatchingSettings(SettingsPart):
    """When a micro-batch closes, and how long one call of the predictor and its loading may take."""

    max_batch_size: Annotated[Annotated[int, Field(ge=1)] | Literal["auto"], BeforeValidator(_batch_size)] = 32
    max_batch_bytes: int = Field(default=64 * MIB, ge=1)
    max_batch_cost: int | None = Field(default=None, ge=1)
    cost_field: str | None = Field(default=None, min_length=1)
    max_wait_ms: float = Field(default=20.0, ge=0)
    call_timeout: float = Field(default=60.0, gt=0)
    load_timeout: float = Field(default=300.0, gt=0)
    preprocess_threads: int = Field(default=2, ge=1)

    @model_validator(mode="after")
    def _cost_is_bounded(self) -> BatchingSettings:
        if self.cost_field is not None and self.max_batch_cost is None:
            raise ValueError("cost_field says what is long, and max_batch_cost, which uses it, is not set")
        return self

    @property
    def presumed_batch_size(self) -> int:
        """Where it has to be known without a predictor."""
        return _PRESUMED_BATCH_SIZE if self.max_batch_size == AUTO else self.max_batch_size


class WorkerSettings(SettingsPart):
    """`max_in_flight` items and `max_in_flight_bytes` bound what one worker has read and not committed.

    `idle_seconds` is for how long workers are kept that are not needed any more. One that is to end has `drain_timeout`
    for what is in its predictor and its delivery; what is not done by then is done again elsewhere.
    """

    min: int = Field(default=1, ge=0)
    max: int = Field(default=1, ge=1)
    idle_seconds: float = Field(default=60.0, ge=0)
    drain_timeout: float = Field(default=10.0, ge=0)
    max_in_flight: int = Field(default=50_000, ge=1)
    max_in_flight_bytes: int = Field(default=256 * MIB, ge=1)

    @model_validator(mode="after")
    def _ordered(self) -> WorkerSettings:
        if self.min > self.max:
            raise ValueError(f"workers.min ({self.min}) is above workers.max ({self.max})")
        return self


class RetrySettings(SettingsPart):
    """`delays` of the tiers, in order; the last one serves all further ones. `max_wait` bounds all wishes."""

    max_attempts: int = Field(default=3, ge=1, le=10)
    delays: list[Annotated[float, Field(gt=0, le=3600)]] = Field(default=[5.0, 30.0, 180.0], min_length=1, max_length=9)
    max_wait: float = Field(default=3600.0, ge=0)


class BreakerSettings(SettingsPart):
    """More than `max_ratio` of the last `window` first attempts failed in the predictor: is it the model or the items?

    1 switches it off.
    """

    max_ratio: float = Field(default=0.5, gt=0, le=1)
    window: int = Field(default=200, ge=1)


class ApiSettings(SettingsPart):
    """One named deployment: a predictor, its batching, its topics, its workers."""

    name: str = Field(pattern=_NAME)
    predictor: PredictorSettings
    batching: BatchingSettings = BatchingSettings()
    partitions: int = Field(default=4, ge=1)
    workers: WorkerSettings = WorkerSettings()
    retry: RetrySettings = RetrySettings()
    breaker: BreakerSettings = BreakerSettings()
    results: Results = Results()
    realtime: RealtimeSettings | None = None
    webhook: ApiWebhook | None = None

    @property
    def version(self) -> str:
        """Another one whenever any of this is that makes results; whom their end is told makes none."""
        return hashlib.sha256(self.model_dump_json(exclude={"webhook"}).encode()).hexdigest()[:12]

    def batch_size_of(self, wish: int | None) -> int:
        """Items in a call for a job that wants at most so many, where calls never mix jobs."""
        most = self.batching.presumed_batch_size
        default = self.predictor.batch_size if isinstance(self.predictor, CortexPredictor) else None
        return min(wish or default or most, most)

    @model_validator(mode="after")
    def _answers_requests(self) -> ApiSettings:
        if self.realtime is not None and self.predictor.is_job_scoped:
            raise ValueError("realtime is set, and the predictor has an instance for each job: it answers no requests")
        return self


class Settings(SettingsPart):
    """The whole file. `store` is s3://bucket/prefix, file:///path or a plugin's; `state_dir` holds locks and the local
    broker."""

    kafka: KafkaSettings = KafkaSettings()
    store: str = Field(default="file://./.stream-infer/store", pattern=r"^[a-z][a-z0-9+.-]*://")
    state_dir: Path = Path(".stream-infer")
    gateway: GatewaySettings = GatewaySettings()
    metrics: MetricsSettings = MetricsSettings()
    log: LogSettings = LogSettings()
    jobs: JobsSettings = JobsSettings()
    fetch: FetchSettings = FetchSettings()
    models: ModelsSettings = ModelsSettings()
    limits: LimitSettings = LimitSettings()
    intake: IntakeSettings = IntakeSettings()
    sink: SinkSettings = SinkSettings()
    webhooks: WebhooksSettings = WebhooksSettings()
    apis: list[ApiSettings] = Field(default_factory=list)

    @field_validator("apis")
    @classmethod
    def _distinct(cls, apis: list[ApiSettings]) -> list[ApiSettings]:
        names = [api.name for api in apis]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"two APIs are named {twice[0]!r}; names are unique")
        return apis

    @model_validator(mode="after")
    def _replicas_have_ports_of_their_own(self) -> Settings:
        taken: dict[str, str] = {self.gateway.listen: "gateway.listen"}
        for api in self.apis:
            if api.realtime is None or api.realtime.listen.endswith(":0"):
                continue
            for replica in range(api.realtime.replicas):
                listen = api.realtime.listen_of(replica)
                mine = f"replica {replica} of API {api.name}"
                if listen in taken:
                    raise ValueError(f"{mine} and {taken[listen]} both listen on {listen}: set apis[].realtime.listen")
                taken[listen] = mine
        return self

    @model_validator(mode="after")
    def _webhooks_are_signed(self) -> Settings:
        unsigned = ["webhooks.url"] * (self.webhooks.url is not None)
        unsigned += [f"the webhook of API {api.name}" for api in self.apis if api.webhook and not api.webhook.secrets]
        if unsigned and not self.webhooks.secrets:
            raise ValueError(
                f"{unsigned[0]} is set, and there is no secret to sign with: set webhooks.secrets, or "
                "STREAM_INFER__WEBHOOKS__SECRETS; `stream-infer webhooks secret` makes one"
            )
        return self

    @property
    def names(self) -> list[str]:
        """Of all APIs."""
        return [api.name for api in self.apis]

    def api(self, name: str) -> ApiSettings | None:
        return next((api for api in self.apis if api.name == name), None)
