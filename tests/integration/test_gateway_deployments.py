"""`POST`, `PUT`, `PATCH` and `DELETE` of `/v1/apis`, at a real gateway over a real Kafka."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import urllib3

from stream_infer.definitions import (
    ApiState,
    Definition,
    Report,
    Seal,
    code_key,
    decode_definition,
    definition_records,
    report_record,
)
from stream_infer.gateway.deployments.deployed import DeployedApis
from stream_infer.jobs.status import State
from stream_infer.kafka.admin import check_topics
from stream_infer.kafka.definitions import Definitions
from tests.support.gateway import GatewayHarness, HttpClient
from tests.support.projects import archive, deployment_form
from tests.support.settings import settings_for

PREDICTOR = b"class Shouter:\n    def __init__(self, config): ...\n    def predict(self, items): return items\n"
SHOUTER: dict[str, Any] = {
    "name": "shouter",
    "predictor": {"type": "native", "target": "model.py:Shouter"},
    "partitions": 2,
}


CODE = archive({"model.py": PREDICTOR})


class Deployer:
    def __init__(self, client: HttpClient) -> None:
        self._client = client

    def __call__(
        self, definition: Any, code: bytes | None = CODE, *, status: int = 202, method: str = "POST", **headers: str
    ) -> Any:
        path = "/v1/apis" if method == "POST" else f"/v1/apis/{definition['name']}"
        body, kind = deployment_form(definition, code)
        return self._client(method, path, raw=body, status=status, content_type=kind, **headers)


def say(harness: GatewayHarness, revision: str, by: str, state: ApiState) -> None:
    report = Report(name="shouter", revision=revision, by=by, state=state, message=f"as {by} has it", at=1.0)
    harness.send(report_record(report, harness.topics))


@pytest.fixture
def harness(bootstrap_servers: str, topic_prefix: str, tmp_path: Path) -> GatewayHarness:
    settings = settings_for(bootstrap_servers, topic_prefix, tmp_path)
    gateway = settings.gateway.model_copy(update={"deploy_without_key": True})
    return GatewayHarness(settings.model_copy(update={"gateway": gateway}))


@pytest.fixture
def client(harness: GatewayHarness) -> Iterator[HttpClient]:
    with harness.gateway() as client:
        yield client


@pytest.fixture
def deploy(client: HttpClient) -> Deployer:
    return Deployer(client)


def test_an_api_that_is_deployed_is_known_has_its_code_and_its_topics(
    harness: GatewayHarness, client: HttpClient, deploy: Deployer
) -> None:
    body = deploy(SHOUTER)

    assert (body["name"], body["state"], body["deployed"]) == ("shouter", "preparing", True)
    assert body["endpoint"] == f"{client.url}/shouter"
    assert client("GET", "/v1/apis/shouter", status=200)["revision"] == body["revision"]
    assert [api["name"] for api in client("GET", "/v1/apis", status=200)["apis"]] == ["echo", "shouter"]
    [record] = harness.read(harness.topics.apis)
    assert record.key == b"shouter"
    definition = decode_definition(record.value or b"")
    assert definition.definition == SHOUTER
    assert definition.code == hashlib.sha256(CODE).hexdigest()
    assert harness.store.get(code_key(definition.code)) == CODE
    check_topics(harness.settings.model_copy(update={"apis": [*harness.settings.apis, definition.api]}))
    job = client("POST", "/v1/apis/shouter/jobs", {"item_list": {"items": [1]}}, status=202)
    assert job["api_name"] == "shouter"
    assert harness.topics.api("shouter").items in client("GET", "/asyncapi.json", status=200)["channels"]


def test_what_becomes_of_a_revision_is_what_was_said_of_that_one(
    harness: GatewayHarness, client: HttpClient, deploy: Deployer
) -> None:
    body = deploy(SHOUTER)
    say(harness, body["revision"], "pod-0", ApiState.FAILED)
    shown = client("GET", "/v1/apis/shouter", status=200)
    assert (shown["state"], shown["message"]) == ("failed", "as pod-0 has it")

    assert deploy(SHOUTER, method="PUT")["revision"] != body["revision"], "what has failed is tried anew"
    assert client("GET", "/v1/apis/shouter", status=200)["state"] == "preparing"


def test_what_is_live_in_one_pod_is_so_whatever_comes_of_another_one(
    harness: GatewayHarness, client: HttpClient, deploy: Deployer
) -> None:
    revision = deploy(SHOUTER)["revision"]
    say(harness, revision, "pod-0", ApiState.LIVE)
    for state in (ApiState.PREPARING, ApiState.FAILED):
        say(harness, revision, "pod-1", state)
        assert client("GET", "/v1/apis/shouter", status=200)["state"] == "live"
    assert deploy(SHOUTER, method="PUT")["revision"] == revision, "nothing is replaced for one pod's fault"

    client("DELETE", "/v1/apis/shouter", status=204)
    left = {record.key: record.value for record in harness.read(harness.topics.api_states)}
    assert len(left) == 2
    assert set(left.values()) == {None}


def test_what_was_deployed_is_said_also_where_the_gateway_has_not_read_it_back_yet(
    deploy: Deployer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(DeployedApis, "get", lambda *_: None)

    body = deploy(SHOUTER)

    assert (body["state"], body["deployed"]) == ("preparing", True)
    assert body["revision"]


def test_every_replica_knows_what_one_has_taken(harness: GatewayHarness, deploy: Deployer) -> None:
    with harness.gateway() as other:
        deploy(SHOUTER)
        assert other("GET", "/v1/apis/shouter", status=200)["name"] == "shouter"
        other("POST", "/v1/apis/shouter/jobs", {"item_list": {"items": [1]}}, status=202)


def test_a_second_post_is_refused_and_a_put_of_the_same_changes_nothing(deploy: Deployer) -> None:
    first = deploy(SHOUTER)

    assert "PUT /v1/apis/shouter" in deploy(SHOUTER, status=409)["detail"]
    assert deploy(SHOUTER, method="PUT")["revision"] == first["revision"]
    assert deploy(SHOUTER | {"batching": {"max_batch_size": 2}}, method="PUT")["revision"] != first["revision"]
    other = archive({"model.py": PREDICTOR + b"# new"})
    assert deploy(SHOUTER, other, method="PUT")["revision"] != first["revision"]


def test_a_patch_goes_into_the_definition_and_keeps_the_code(
    harness: GatewayHarness, client: HttpClient, deploy: Deployer
) -> None:
    deploy(SHOUTER | {"workers": {"max": 2}})
    assert len(client("GET", "/v1/apis", status=200)["apis"]) == 2

    patched = client("PATCH", "/v1/apis/shouter", {"batching": {"max_batch_size": 3}, "workers": None}, status=202)

    assert (patched["max_batch_size"], patched["workers"]["max"]) == (3, 1)
    assert client("GET", "/v1/apis/shouter", status=200) == patched, "though a list was made within the last second"
    before, after = (decode_definition(record.value or b"") for record in harness.read(harness.topics.apis))
    assert (after.code, after.definition["batching"]) == (before.code, {"max_batch_size": 3})
    assert client("PATCH", "/v1/apis/shouter", {"name": "other"}, status=422)["errors"][0]["pointer"] == "/name"
    client("PATCH", "/v1/apis/shouter", {"batch": {}}, status=422)
    client("PATCH", "/v1/apis/nobody", {}, status=404)
    client("PATCH", "/v1/apis/shouter", {"partitions": 1}, status=422)


def test_an_api_with_a_job_is_deleted_once_that_has_ended(
    harness: GatewayHarness, client: HttpClient, deploy: Deployer
) -> None:
    deploy(SHOUTER)
    job_id = client("POST", "/v1/apis/shouter/jobs", {"item_list": {"items": [1]}}, status=202)["job_id"]

    assert client("DELETE", "/v1/apis/shouter", status=409)["jobs"] == [job_id]
    harness.api = "shouter"
    harness.status(job_id, state=State.STOPPED)
    client("DELETE", "/v1/apis/shouter", status=204)

    client("GET", "/v1/apis/shouter", status=404)
    client("DELETE", "/v1/apis/shouter", status=404)
    assert harness.read(harness.topics.apis)[-1].value is None
    assert deploy(SHOUTER)["state"] == "preparing"


def test_an_api_of_the_file_is_the_files(client: HttpClient, deploy: Deployer) -> None:
    echo = {"name": "echo", "predictor": {"type": "native", "target": "model.py:Shouter"}}
    for method in ("POST", "PUT"):
        assert "stream-infer.yaml" in deploy(echo, method=method, status=409)["detail"]
    client("DELETE", "/v1/apis/echo", status=409)
    client("PATCH", "/v1/apis/echo", {}, status=409)


@pytest.mark.parametrize(
    ("definition", "code", "pointer"),
    [
        ({"name": "x"}, CODE, "/predictor"),
        ({"name": "X", "predictor": {"type": "native", "target": "model.py:A"}}, CODE, "/name"),
        ({"name": "x", "predictor": {"type": "native", "target": "other.py:A"}}, CODE, "/predictor/target"),
        ({"name": "x", "predictor": {"type": "native", "target": "model.py:A"}}, None, "/predictor/target"),
        ({"name": "x", "predictor": {"type": "native", "target": "../model.py:A"}}, CODE, "/predictor/target"),
        ({"name": "x", "predictor": {"type": "native", "target": "/etc/model.py:A"}}, CODE, "/predictor/target"),
        ({"name": "x", "predictor": {"type": "cortex", "path": "handler.py"}}, CODE, "/predictor/path"),
        (
            {
                "name": "x",
                "predictor": {"type": "native", "target": "model.py:A"},
                "webhook": {"url": "https://a.example", "secrets": ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]},
            },
            CODE,
            "/webhook/secrets",
        ),
        ({"name": "x", "predictor": {"type": "native", "target": "model.py:A"}}, b"no archive", ""),
        ([], CODE, None),
    ],
    ids=["nothing", "name", "file", "codeless", "outside", "absolute", "cortex", "secret", "archive", "list"],
)
def test_what_could_not_be_served_is_refused(
    harness: GatewayHarness, deploy: Deployer, definition: Any, code: bytes | None, pointer: str | None
) -> None:
    problem = deploy(definition, code, status=422)

    assert pointer is None or problem["errors"][0]["pointer"] == pointer, problem
    assert harness.read(harness.topics.apis) == []


def test_what_is_no_deployment_is_refused(client: HttpClient) -> None:
    client("POST", "/v1/apis", {}, status=415)
    kind = "multipart/form-data; boundary=b"
    client("POST", "/v1/apis", raw=b"nothing", content_type=kind, status=400)
    client("POST", "/v1/apis", raw=b"--b--\r\n", content_type=kind, status=400)
    body, kind = urllib3.encode_multipart_formdata({"definition": "{", "code": CODE})
    client("POST", "/v1/apis", raw=body, content_type=kind, status=400)
    body, kind = urllib3.encode_multipart_formdata({"definitions": "{}"})
    assert "definitions" in client("POST", "/v1/apis", raw=body, content_type=kind, status=400)["detail"]


def test_a_page_of_strangers_deploys_nothing(client: HttpClient, deploy: Deployer) -> None:
    """A browser sends such a form anywhere, without asking first."""
    assert deploy(SHOUTER, Origin="https://evil.example", status=403)["type"].endswith("foreign-origin")
    assert deploy(SHOUTER, Sec_Fetch_Site="cross-site", status=403)["type"].endswith("foreign-origin")
    deploy(SHOUTER, Origin=client.url)


def test_without_keys_code_is_taken_only_where_that_is_said(harness: GatewayHarness) -> None:
    gateway = harness.settings.gateway.model_copy(update={"deploy_without_key": None})
    with harness.gateway(harness.settings.model_copy(update={"gateway": gateway})) as client:
        assert "admin" in Deployer(client)(SHOUTER, status=403)["detail"]
        client("DELETE", "/v1/apis/shouter", status=403)


def test_a_definition_that_lacks_the_gateways_seal_is_no_api(harness: GatewayHarness) -> None:
    """Of a Kafka that everybody on the machine reaches."""
    theirs = Definition(name="shouter", revision="r1", definition=SHOUTER, at=1.0)
    with harness.gateway(seal=Seal(b"k" * 32)) as client:
        harness.send(*definition_records(theirs, [], harness.topics))
        client("GET", "/v1/apis/shouter", status=404)
        client("POST", "/v1/apis/shouter/jobs", {"item_list": {"items": [1]}}, status=404)
        assert [api["name"] for api in client("GET", "/v1/apis", status=200)["apis"]] == ["echo"]

        Deployer(client)(SHOUTER)
        assert client("GET", "/v1/apis/shouter", status=200)["deployed"]
        client("DELETE", "/v1/apis/shouter", status=204)


def test_whoever_follows_the_topic_has_the_settings_of_now(harness: GatewayHarness, client: HttpClient) -> None:
    follower = Definitions(harness.settings)
    follower.start()
    try:
        before = follower.settings
        assert before.names == ["echo"]
        Deployer(client)(SHOUTER)
        follower.catch_up().result(60)
        assert follower.settings.names == ["echo", "shouter"]
        client("DELETE", "/v1/apis/shouter", status=204)
        follower.catch_up().result(60)
        assert follower.settings.names == ["echo"]
    finally:
        follower.close()
