"""How the gateway, realtime replicas and the metrics of roles are reached, and whom the end of a job is told."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field

from stream_infer.predictor_settings import SettingsPart
from stream_infer.security_settings import TlsSettings
from stream_infer.webhooks import WebhookEvent, WebhookSecret, WebhookUrl

LISTEN = r"^(\[[0-9a-fA-F:]+\]|[^:\s]+):\d{1,5}$"
"""host:port, an IPv6 address in brackets."""


class GatewaySettings(SettingsPart):
    """`public_url`: where others reach it, such as by a proxy in front of it; links in webhooks begin so.

    `api_keys_file`: whose keys let in, here and at realtime replicas; read again when it changes. Without one nobody
    is asked for a key, nothing beyond loopback is listened on, and a request has to call the server by an address, as
    localhost, or by the host of `public_url`.

    `deploy_without_key`: whether a gateway that asks nobody for a key takes code (`POST /v1/apis`) from processes of
    its own user on this machine; None: under `up` alone. Where there are keys, one that may `admin` is asked for.
    """

    listen: str = Field(default="127.0.0.1:8080", pattern=LISTEN)
    public_url: str | None = Field(default=None, pattern=r"^https?://[^\s?#@]+$")
    api_keys_file: Path | None = None
    tls: TlsSettings | None = None
    deploy_without_key: bool | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """By which it is called beside addresses and localhost, in lower case."""
        host = None if self.public_url is None else urlsplit(self.public_url).hostname
        return () if host is None else (host,)

    @property
    def scheme(self) -> Literal["http", "https"]:
        return "http" if self.tls is None else "https"


class MetricsSettings(SettingsPart):
    """Where a role serves `/metrics`, `/healthz` and `/readyz` to whoever asks; under `up` each has a port of its own.

    None: 127.0.0.1:9400, or any free port where that is taken; of a role that answers HTTP, its own address alone.
    """

    listen: str | None = Field(default=None, pattern=LISTEN)


class RealtimeSettings(SettingsPart):
    """Requests answered over HTTP. Replica N of `replicas` listens on the port of `listen` plus N; `addresses` says
    where they are instead where that is not this machine.

    `max_in_flight` items and `max_in_flight_bytes` bound what one replica has taken and not answered. A replica that is
    to end is unready for `drain_delay` before it takes no more, and has `drain_timeout` for what it has taken.
    """

    replicas: int = Field(default=1, ge=0, le=256)
    listen: str = Field(default="127.0.0.1:8090", pattern=LISTEN)
    addresses: list[Annotated[str, Field(pattern=r"^https?://[^/\s?#@]+$")]] = Field(default_factory=list)
    max_in_flight: int = Field(default=512, ge=1)
    max_in_flight_bytes: int = Field(default=64 * 1024 * 1024, ge=1)
    timeout: float = Field(default=30.0, gt=0)
    drain_delay: float = Field(default=1.0, ge=0)
    drain_timeout: float = Field(default=15.0, ge=0)

    def listen_of(self, replica: int) -> str:
        """Where that replica listens, from 0."""
        host, _, port = self.listen.rpartition(":")
        return f"{host}:{int(port) + replica}"

    @property
    def urls(self) -> list[str]:
        """Where all of them are."""
        own = (self.listen_of(replica).replace("localhost", "127.0.0.1") for replica in range(self.replicas))
        return self.addresses or [f"http://{listen}" for listen in own]


class WebhooksSettings(SettingsPart):
    """How the end of jobs is told, and where for those that name no place themselves.

    `url` and `events` hold for all APIs that say nothing else; no `events` means every one. Each of `secrets` signs: so
    a new one is put beside the old one until all receivers know it. An attempt has `timeout` seconds; the next ones
    come at growing distances, for `give_up_after` seconds.
    """

    url: WebhookUrl | None = None
    events: list[WebhookEvent] | None = None
    secrets: list[WebhookSecret] = Field(default_factory=list, max_length=10, repr=False)
    timeout: float = Field(default=15.0, gt=0, le=300)
    give_up_after: float = Field(default=3 * 86400.0, gt=0, le=365 * 86400.0)
    allow_private_addresses: bool = False


class ApiWebhook(SettingsPart):
    """Where the end of an API's jobs is told, in place of what `webhooks` says for all of them."""

    url: WebhookUrl
    events: list[WebhookEvent] | None = None
    secrets: list[WebhookSecret] = Field(default_factory=list, max_length=10, repr=False)
