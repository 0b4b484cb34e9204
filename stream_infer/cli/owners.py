"""Whose things a name means: an API's, or a job's."""

from __future__ import annotations

from stream_infer.clients import calls
from stream_infer.clients.errors import UnknownJob
from stream_infer.clients.gateway import Gateway
from stream_infer.errors import UsageError


def owner_of(gateway: Gateway, name: str) -> str:
    """`apis/NAME` or `jobs/ID`, whichever `name` is; an API's name comes first. Raises UsageError."""
    apis = [api.name for api in gateway.ask(calls.apis())]
    if name in apis:
        return f"apis/{name}"
    try:
        gateway.ask(calls.job(name))
    except UnknownJob:
        raise UsageError(
            f"no API or job is named {name!r}. Known APIs: {', '.join(apis) or 'none'}; "
            "`stream-infer get` lists them and the newest jobs."
        ) from None
    return f"jobs/{name}"
