"""Cortex's Python client (0.18 to 0.40), as a program that was written for it uses it:

    from stream_infer.compat import cortex      # in place of `import cortex`

    cx = cortex.client("aws")
    cx.create_api(api_spec, predictor=PythonPredictor, requirements=requirements)

An environment is a gateway: that of STREAM_INFER_GATEWAY, whatever it is called (`http://127.0.0.1:8080` without), with
the key in STREAM_INFER_API_KEY; or the `operator_endpoint` of `new_client`. What works and what does not:
docs/coming-from-cortex.md.
"""

from __future__ import annotations

from stream_infer.clients.environment import place
from stream_infer.clients.opening import open_gateway
from stream_infer.compat.cortex_client import Client
from stream_infer.errors import UsageError

__all__ = ["Client", "client", "cluster_client", "env_delete", "env_list", "local_client", "new_client"]


def client(env: str | None = None, *, env_name: str | None = None) -> Client:
    """The gateway that the environment names; how Cortex's environment is called does not matter."""
    return Client(open_gateway(None, None), env or env_name or "default")


def new_client(
    name: str | None = None, operator_endpoint: str | None = None, *_credentials: object, **more: object
) -> Client:
    """The gateway at `operator_endpoint`. AWS credentials are passed over: keys are those of STREAM_INFER_API_KEY.

    Nothing is kept: another program, or `client(name)`, does not find it.
    """
    called = name or str(more.get("env_name") or "default")
    # Some generations had the provider in front of the endpoint.
    given = [operator_endpoint, *_credentials]
    endpoint = next((str(each) for each in given if str(each or "").startswith(("http://", "https://"))), None)
    if endpoint is None:
        raise UsageError("new_client wants the gateway's address as operator_endpoint: http://HOST:PORT")
    return Client(open_gateway(endpoint, None), called)


cluster_client = new_client


def local_client(*_credentials: object, **_more: object) -> Client:
    """The gateway of this machine, or that of the environment."""
    return client("local")


def env_list() -> list[dict[str, str]]:
    """The one environment that there is."""
    url, _ = place(None, None)
    return [{"name": "default", "provider": "stream-infer", "operator_endpoint": url}]


def env_delete(name: str) -> None:
    raise UsageError(f"there is no environment {name!r} to delete: STREAM_INFER_GATEWAY says which gateway is meant")
