"""What a shell offers for API and JOB when Tab is pressed: what the gateway knows, or else the configuration.

It is never in the way: whatever goes wrong, nothing is offered.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from stream_infer.cli.context import Invocation, invocation_of

if TYPE_CHECKING:
    from stream_infer.clients.gateway import Gateway

PATIENCE_S = 1.0
_JOBS = 50
Offered = list[tuple[str, str]]
"""A value each, and what a person is told of it."""


def api_argument(said: str) -> Any:
    return typer.Argument(metavar="API", help=said, autocompletion=complete_api)


def job_argument(said: str) -> Any:
    return typer.Argument(metavar="JOB", help=said, autocompletion=complete_job)


def owner_argument(said: str, metavar: str = "API|JOB") -> Any:
    return typer.Argument(metavar=metavar, help=said, autocompletion=complete_api_or_job)


def complete_api(ctx: typer.Context, incomplete: str) -> Offered:
    """APIs, with what they are made of."""
    return _beginning(incomplete, _apis(ctx))


def complete_job(ctx: typer.Context, incomplete: str) -> Offered:
    """The newest jobs, with their API and state."""
    return _beginning(incomplete, _jobs(ctx))


def complete_api_or_job(ctx: typer.Context, incomplete: str) -> Offered:
    return _beginning(incomplete, (*_apis(ctx), *_jobs(ctx)))


def _beginning(incomplete: str, offered: Iterable[tuple[str, str]]) -> Offered:
    return [(value, said) for value, said in offered if value.startswith(incomplete)]


def _apis(ctx: typer.Context) -> Offered:
    from stream_infer.clients import calls

    with suppress(Exception), closing(_client(ctx)) as client:
        apis = client.ask(calls.apis())
        return [(api.name, f"API, {api.predictor['type']} {api.predictor['target']}") for api in apis]
    with suppress(Exception):
        return [(api.name, "API of the configuration") for api in _invocation(ctx).settings().apis]
    return []


def _jobs(ctx: typer.Context) -> Offered:
    from stream_infer.clients import calls

    with suppress(Exception), closing(_client(ctx)) as client:
        jobs = client.ask(calls.jobs(limit=_JOBS)).jobs
        return [(job.job_id, f"{job.state}, {job.api_name}") for job in jobs]
    return []


def _client(ctx: typer.Context) -> Gateway:
    from stream_infer.cli.gateway_access import api_key, configured_url
    from stream_infer.clients.gateway import Gateway
    from stream_infer.clients.steps import Retries

    invocation = _invocation(ctx)
    url = ctx.params.get("gateway") or configured_url(ctx)
    return Gateway(url, api_key(invocation), timeout_s=PATIENCE_S, retries=Retries(tries=1))


def _invocation(ctx: typer.Context) -> Invocation:
    """While a line is completed nothing of it runs: what stands before the command is read here."""
    invocation, options = invocation_of(ctx), ctx.find_root().params
    file, key_file = options.get("file"), options.get("key_file")
    invocation.file = invocation.file if file is None else Path(file)
    invocation.key_file = invocation.key_file if key_file is None else Path(key_file)
    return invocation
