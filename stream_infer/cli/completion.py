"""What a shell offers for API and JOB when Tab is pressed: what the gateway knows, or else the configuration.

It is never in the way: whatever goes wrong, nothing is offered.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import typer

from stream_infer.cli.context import Invocation, invocation_of

if TYPE_CHECKING:
    from stream_infer.clients.call import Call
    from stream_infer.clients.gateway import Gateway

T = TypeVar("T")
PATIENCE_S = 1.0
_JOBS = 50
Offered: TypeAlias = list[tuple[str, str]]
"""A value each, and what a person is told of it."""


def api_argument(said: str) -> Any:
    return typer.Argument(metavar="API", help=said, autocompletion=complete_api)


def deployed_api_argument(said: str) -> Any:
    return typer.Argument(metavar="API", help=said, autocompletion=complete_deployed_api)


def job_argument(said: str) -> Any:
    return typer.Argument(metavar="JOB", help=said, autocompletion=complete_job)


def job_of_api_argument(said: str, api: str) -> Any:
    """Behind the argument named `api`."""

    def complete(ctx: typer.Context, incomplete: str) -> Offered:
        return _beginning(incomplete, _asked(ctx, _jobs(ctx.params.get(api))))

    return typer.Argument(metavar="JOB", help=said, autocompletion=complete)


def owner_argument(said: str, metavar: str = "API|JOB") -> Any:
    return typer.Argument(metavar=metavar, help=said, autocompletion=complete_api_or_job)


def complete_api(ctx: typer.Context, incomplete: str) -> Offered:
    """APIs, with what they are made of."""
    return _beginning(incomplete, _asked(ctx, _apis(), instead=_configured_apis))


def complete_deployed_api(ctx: typer.Context, incomplete: str) -> Offered:
    return _beginning(incomplete, _asked(ctx, _deployed_apis()))


def complete_job(ctx: typer.Context, incomplete: str) -> Offered:
    """The newest jobs, with their state and API."""
    return _beginning(incomplete, _asked(ctx, _jobs()))


def complete_api_or_job(ctx: typer.Context, incomplete: str) -> Offered:
    return _beginning(incomplete, _asked(ctx, _apis(), _jobs(), instead=_configured_apis))


def _beginning(incomplete: str, offered: Offered) -> Offered:
    return [(value, said) for value, said in offered if value.startswith(incomplete)]


def _apis() -> Call[Offered]:
    from stream_infer.clients import calls

    return _told(
        calls.apis(),
        lambda apis: [(api.name, f"API, {api.predictor['type']} {api.predictor['target']}") for api in apis],
    )


def _deployed_apis() -> Call[Offered]:
    from stream_infer.clients import calls

    return _told(calls.apis(), lambda apis: [(api.name, f"API, {api.state}") for api in apis if api.deployed])


def _jobs(api: str | None = None) -> Call[Offered]:
    from stream_infer.clients import calls

    return _told(
        calls.jobs(api=api, limit=_JOBS),
        lambda page: [(job.job_id, f"{job.state}, {job.api_name}") for job in page.jobs],
    )


def _told(call: Call[T], offered: Callable[[T], Offered]) -> Call[Offered]:
    from stream_infer.clients.call import Call

    return Call(call.request, lambda answer: offered(call.read(answer)))


def _configured_apis(ctx: typer.Context) -> Offered:
    with suppress(Exception):
        return [(api.name, "API of the configuration") for api in _invocation(ctx).settings().apis]
    return []


def _nothing(_ctx: typer.Context) -> Offered:
    return []


def _asked(
    ctx: typer.Context, *questions: Call[Offered], instead: Callable[[typer.Context], Offered] = _nothing
) -> Offered:
    """What the gateway has answered within PATIENCE_S, to all of them; `instead` where that is nothing at all.

    It is asked by a thread that nobody waits for any longer: a name that is looked up takes its own time, whatever the
    client's timeouts say.
    """
    answers: list[Offered] = []
    with suppress(Exception):
        client = _client(ctx)

        def ask() -> None:
            with suppress(Exception), closing(client):
                for question in questions:
                    answers.append(client.ask(question))  # noqa: PERF401 - what comes before a failure counts

        asking = Thread(target=ask, name="completion", daemon=True)
        asking.start()
        asking.join(PATIENCE_S)
    answered = list(answers)
    return [one for answer in answered for one in answer] if answered else instead(ctx)


def _client(ctx: typer.Context) -> Gateway:
    from stream_infer.cli.gateway_access import api_key, gateway_url
    from stream_infer.clients.gateway import Gateway
    from stream_infer.clients.steps import Retries

    invocation = _invocation(ctx)
    url = gateway_url(ctx, ctx.params.get("gateway"))
    return Gateway(url, api_key(invocation), timeout_s=PATIENCE_S, retries=Retries(tries=1))


def _invocation(ctx: typer.Context) -> Invocation:
    """While a line is completed nothing of it runs: what stands before the command is read here, as it was typed."""
    invocation, options = invocation_of(ctx), ctx.find_root().params
    file, key_file = options.get("file"), options.get("key_file")
    invocation.file = invocation.file if file is None else Path(file).expanduser()
    invocation.key_file = invocation.key_file if key_file is None else Path(key_file).expanduser()
    return invocation
