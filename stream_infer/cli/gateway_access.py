"""Which gateway a command talks to, and the options that every such command has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from stream_infer.cli.context import invocation_of
from stream_infer.errors import UsageError

if TYPE_CHECKING:
    from stream_infer.cli.client import GatewayClient

GatewayOption = Annotated[
    str | None,
    typer.Option("--gateway", metavar="URL", help="The gateway (default: gateway.listen of the configuration)."),
]


def gateway_client(ctx: typer.Context, url: str | None) -> GatewayClient:
    """A client of the gateway at `url`, or of the configured one. Connects to nothing yet. Raises ConfigError."""
    from stream_infer.cli.client import GatewayClient

    return GatewayClient(url or configured_url(ctx))


def configured_url(ctx: typer.Context) -> str:
    """Where the configuration says that the gateway listens; without a file, where it does by default."""
    from stream_infer.configuration import DEFAULT_FILE
    from stream_infer.settings import GatewaySettings

    invocation = invocation_of(ctx)
    has_file = invocation.config_file() is not None or DEFAULT_FILE.exists()
    listen = (invocation.settings().gateway if has_file else GatewaySettings()).listen
    host, _, port = listen.rpartition(":")
    if int(port) == 0:
        raise UsageError(f"gateway.listen is {listen}, any free port; say which by --gateway URL")
    # A gateway that listens everywhere is reached here by loopback.
    return f"http://{'127.0.0.1' if host in ('0.0.0.0', '[::]') else host}:{port}"  # noqa: S104 (read, not bound)
