"""Cortex's `Client`: its methods, its arguments and its answers, asked of a gateway."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from stream_infer.clients import calls
from stream_infer.clients.call import Call, Request, any_json
from stream_infer.clients.deploying import DEPLOY_TIMEOUT_S, deployed, deployment
from stream_infer.clients.gateway import Gateway
from stream_infer.clients.job import follow_lines
from stream_infer.compat.cortex_spec import Converted, convert, ports_of
from stream_infer.errors import UsageError
from stream_infer.gateway.api_bodies import ApiBody
from stream_infer.predictors.cortex_code import CLASSES

Spec = dict[str, Any]


class Client:
    """`env` is how the program calls the gateway. Raises what `stream_infer.clients.errors` has."""

    def __init__(self, gateway: Gateway, env: str) -> None:
        self._gateway = gateway
        self.env = self.env_name = env

    def create_api(
        self,
        api_spec: Spec,
        predictor: type | None = None,
        requirements: Sequence[str] = (),
        conda_packages: Sequence[str] = (),
        project_dir: str | None = None,
        force: bool = True,  # noqa: FBT001, FBT002 (Cortex's)
        wait: bool = False,  # noqa: FBT001, FBT002
        *,
        task: Any = None,
        handler: type | None = None,
    ) -> Spec:
        """Deploys an API, or a new revision of it. Without `force` there may be none of that name yet."""
        _require_ours(api_spec, task, conda_packages)
        if project_dir is not None and (predictor or handler):
            raise UsageError("a class and a project_dir cannot both be given: the class is in the project then")
        if not force and api_spec.get("name") in {body.name for body in self._apis()}:
            raise UsageError(f"API {api_spec.get('name')} is there already; force=True replaces it")
        cls = predictor or handler
        _require_known_name(cls)
        converted = convert(api_spec, has_class=cls is not None, taken=ports_of(self._apis()))
        name, form = deployment(converted.definition, cls, requirements, project_dir)
        body = self._gateway.run(deployed(calls.put_api(name, form), wait=wait, timeout_s=DEPLOY_TIMEOUT_S))
        return {"api": self._shown(body), "message": _message(body, api_spec, converted)}

    def deploy(
        self,
        api_spec: Spec,
        project_dir: str | None = None,
        force: bool = True,  # noqa: FBT001, FBT002
        wait: bool = False,  # noqa: FBT001, FBT002
        **more: Any,
    ) -> Spec:
        """As `create_api`, which it was called before and after."""
        return self.create_api(api_spec, project_dir=project_dir, force=force, wait=wait, **more)

    def deploy_realtime_api(self, api_spec: Spec, handler: type, **more: Any) -> Spec:
        return self.create_api({"kind": "RealtimeAPI", **api_spec}, handler=handler, **more)

    def deploy_async_api(self, api_spec: Spec, handler: type, **more: Any) -> Spec:
        return self.create_api({"kind": "AsyncAPI", **api_spec}, handler=handler, **more)

    def deploy_batch_api(self, api_spec: Spec, handler: type, **more: Any) -> Spec:
        return self.create_api({"kind": "BatchAPI", **api_spec}, handler=handler, **more)

    def deploy_task_api(self, api_spec: Spec, task: Any, **_more: Any) -> Spec:
        return self.create_api({"kind": "TaskAPI", **api_spec}, task=task)

    def deploy_traffic_splitter(self, api_spec: Spec) -> Spec:
        return self.create_api({"kind": "TrafficSplitter", **api_spec})

    def deploy_from_file(
        self,
        config_file: str,
        force: bool = False,  # noqa: FBT001, FBT002
        wait: bool = False,  # noqa: FBT001, FBT002
    ) -> list[Spec]:
        """Each API of a cortex.yaml, with the folder that it lies in."""
        from stream_infer.configuration.yaml_text import Listing, parse

        file = Path(config_file)
        read = parse(file.read_text(encoding="utf-8"))
        if not isinstance(read, Listing):
            raise UsageError(f"{file} holds no list of APIs, as a cortex.yaml does")
        return [self.create_api(spec, project_dir=str(file.parent), force=force, wait=wait) for spec in read.entries]

    def get_api(self, api_name: str) -> Spec:
        return self._shown(self._gateway.ask(calls.api(api_name)))

    def list_apis(self) -> list[Spec]:
        return [self._shown(body) for body in self._apis()]

    def get_job(self, api_name: str, job_id: str) -> Spec:
        """Under `job_status` what has become of it."""
        return self._ask("GET", f"/{calls.part(api_name)}/{calls.part(job_id)}")

    def stop_job(self, api_name: str, job_id: str, keep_cache: bool = False) -> Spec:  # noqa: ARG002, FBT001, FBT002
        return self._ask("DELETE", f"/{calls.part(api_name)}/{calls.part(job_id)}")

    def delete_api(self, api_name: str, keep_cache: bool = False) -> None:  # noqa: ARG002, FBT001, FBT002
        """With its jobs, which are stopped: so did Cortex."""
        self._gateway.ask(calls.delete_api(api_name, force=True))

    delete = delete_api

    def patch(self, api_spec: Spec, force: bool = False) -> Spec:  # noqa: ARG002, FBT001, FBT002
        """Changes what `api_spec` says of an API that was deployed; its code stays."""
        _require_ours(api_spec, None, ())
        converted = convert(api_spec, has_class=True, taken=frozenset())
        changed = converted.changes(api_spec)
        body = self._gateway.ask(calls.patch_api(str(api_spec.get("name")), changed))
        return {"api": self._shown(body), "message": _message(body, api_spec, converted)}

    def refresh(self, api_name: str, force: bool = False) -> None:  # noqa: ARG002, FBT001, FBT002
        """Starts its workers and replicas anew, by a change that means nothing: so kubectl restarts a rollout."""
        mark = {"predictor": {"env": {"CORTEX_REFRESHED_AT": f"{time.time():.3f}"}}}
        self._gateway.ask(calls.patch_api(api_name, mark))

    def stream_job_logs(self, api_name: str, job_id: str) -> None:  # noqa: ARG002 (a job's id is enough)
        """Prints the job's lines until it has ended."""
        for line in follow_lines(self._gateway, job_id):
            sys.stdout.write(f"{line.line}\n")
            sys.stdout.flush()

    def stream_api_logs(self, api_name: str) -> None:
        raise UsageError(
            f"lines are kept by job, not by API: stream_job_logs({api_name!r}, JOB), or `stream-infer logs JOB`"
        )

    def _apis(self) -> list[ApiBody]:
        return self._gateway.ask(calls.apis())

    def _ask(self, method: str, path: str) -> Spec:
        found: Spec = self._gateway.ask(Call(Request(method=method, path=path, is_repeatable=True), any_json))
        return found

    def _shown(self, body: ApiBody) -> Spec:
        """As `cortex get -o json` had it, as far as it means something here; ours is all of it under `stream_infer`."""
        return {
            "spec": {"name": body.name, "predictor": body.predictor},
            "status": {"api_name": body.name, "status_code": f"status_{body.status}", "state": str(body.state)},
            "endpoint": f"{self._gateway.url}/{body.name}",
            "stream_infer": body.model_dump(mode="json"),
        }


def _require_ours(api_spec: Mapping[str, Any], task: Any, conda_packages: Sequence[str]) -> None:
    if task is not None:
        raise UsageError(f"API {api_spec.get('name')}: a TaskAPI has no items, and runs nowhere here")
    if conda_packages:
        raise UsageError(
            f"API {api_spec.get('name')}: conda_packages cannot be installed: name them in requirements as pip has "
            "them, or run stream-infer in an environment of conda's"
        )


def _require_known_name(cls: type | None) -> None:
    """A worker finds the class in its file by its name."""
    if cls is not None and cls.__name__ not in CLASSES:
        raise UsageError(f"the class is called {cls.__name__}; Cortex's are {' or '.join(CLASSES)}")


def _message(body: ApiBody, api_spec: Mapping[str, Any], converted: Converted) -> str:
    said = f"{body.name} ({api_spec.get('kind', 'RealtimeAPI')}) is {body.state}"
    return os.linesep.join([said, *converted.notes])
