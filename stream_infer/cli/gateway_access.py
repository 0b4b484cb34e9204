"""Which gateway a command talks to, with whose key, and the options that every such command has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from stream_infer.cli.context import Invocation, invocation_of
from stream_infer.clients.environment import KEY_VARIABLE, URL_VARIABLE
from stream_infer.errors import UsageError

if TYPE_CHECKING:
    from stream_infer.clients.gateway import Gateway

GatewayOption = Annotated[
    str | None,
    typer.Option(
        "--gateway",
        metavar="URL",
        help="The gateway (default: STREAM_INFER_GATEWAY, else gateway.listen of the configuration).",
    ),
]
# What was asked is asked once more where the answer got lost; a person is told at once that it is to be asked later.
_TRIES, _LONGEST_PAUSE_S = 2, 1.0


def gateway_client(ctx: typer.Context, url: str | None) -> Gateway:
    """A client of the gateway at `url`, else of that in STREAM_INFER_GATEWAY, else of the configured one. Connects to
    nothing yet. Raises UsageError."""
    from stream_infer.clients.gateway import Gateway
    from stream_infer.clients.steps import Retries

    retries = Retries(tries=_TRIES, longest_s=_LONGEST_PAUSE_S)
    return Gateway(gateway_url(ctx, url), api_key(invocation_of(ctx)), retries=retries)


def gateway_url(ctx: typer.Context, url: str | None) -> str:
    """`url`, else what STREAM_INFER_GATEWAY says, else the configured gateway. Raises UsageError."""
    return url or invocation_of(ctx).environ.get(URL_VARIABLE, "").strip() or configured_url(ctx)


def api_key(invocation: Invocation) -> str | None:
    """That of --key-file, or else of the environment. No option takes the key itself: everybody on the machine can
    read the arguments of a command. Raises UsageError."""
    file = invocation.key_file
    if file is None:
        key = invocation.environ.get(KEY_VARIABLE, "").strip()
        return _checked(key, KEY_VARIABLE) if key else None
    try:
        return _checked(file.read_text(encoding="utf-8").strip(), f"--key-file {file}")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--key-file {file} cannot be read: {error}") from None


def _checked(key: str, where: str) -> str:
    """Or whoever sends it would say what is wrong with it, and show it."""
    if not key.isascii() or not key.isprintable() or " " in key or not key:
        raise UsageError(f"{where} holds no key: it has the key alone, as `stream-infer keys new` shows it")
    return key


def configured_url(ctx: typer.Context) -> str:
    """Where the configuration says that the gateway listens; without a file, where it does by default."""
    from stream_infer.configuration import DEFAULT_FILE
    from stream_infer.http_settings import GatewaySettings

    invocation = invocation_of(ctx)
    has_file = invocation.config_file() is not None or DEFAULT_FILE.exists()
    gateway = invocation.settings().gateway if has_file else GatewaySettings()
    host, _, port = gateway.listen.rpartition(":")
    if int(port) == 0:
        raise UsageError(f"gateway.listen is {gateway.listen}, any free port; say which by --gateway URL")
    # A gateway that listens everywhere is reached here by loopback.
    here = "127.0.0.1" if host in ("0.0.0.0", "[::]") else host  # noqa: S104 (read, not bound)  # nosec B104
    return f"{gateway.scheme}://{here}:{port}"
