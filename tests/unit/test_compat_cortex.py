"""Cortex's client, without a gateway: what its arguments become."""

from typing import Any

import pytest

from stream_infer.clients import calls
from stream_infer.clients.call import Call
from stream_infer.clients.code import ENTRY
from stream_infer.clients.gateway import Gateway
from stream_infer.compat import cortex
from stream_infer.compat.cortex_spec import convert, ports_of
from stream_infer.errors import UsageError
from stream_infer.gateway.api_bodies import ApiBody, ReplicaBody
from stream_infer.settings import ApiSettings

BATCH = {"name": "image-classifier", "kind": "BatchAPI", "predictor": {"config": {"labels": "x"}}}
REALTIME = {
    "name": "iris", "kind": "RealtimeAPI", "handler": {"type": "python", "path": "handler.py"},
    "autoscaling": {"min_replicas": 1, "max_replicas": 3}, "compute": {"gpu": 1},
}  # fmt: skip


class PythonPredictor: ...


def converted(spec: dict[str, Any], *, has_class: bool = True, taken: frozenset[int] = frozenset()) -> dict[str, Any]:
    definition = convert(spec, has_class=has_class, taken=taken).definition
    ApiSettings.model_validate(definition)
    return definition


def test_a_specs_class_needs_no_path_and_no_type() -> None:
    definition = converted(BATCH)
    assert definition["predictor"]["path"] == ENTRY
    assert definition["predictor"]["config"] == {"labels": "x"}
    assert definition["workers"] == {"min": 0, "max": 4}
    assert "path" not in BATCH["predictor"], "what is the caller's stays as it is"
    assert converted({"name": "a", "kind": "BatchAPI"})["predictor"]["path"] == ENTRY


def test_a_project_says_its_own_path_and_what_means_nothing_here_is_told() -> None:
    made = convert(REALTIME, has_class=False, taken=frozenset())
    assert made.definition["predictor"]["path"] == "handler.py"
    assert made.definition["realtime"] == {"replicas": 1, "listen": "127.0.0.1:8090"}
    assert [note.partition(" is ")[0] for note in made.notes] == ["iris.compute"]


def test_replicas_listen_where_nobody_else_does() -> None:
    assert converted(REALTIME, has_class=False, taken=frozenset({8090, 8290}))["realtime"]["listen"] == "127.0.0.1:8190"
    replicas = [ReplicaBody(url="http://127.0.0.1:8091", is_ready=True, in_flight=0)]
    assert ports_of([api("a"), api("b", replicas=replicas)]) == {8091}


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"name": "a", "kind": "TaskAPI"}, "TaskAPI"),
        ({"name": "a", "kind": "BatchAPI", "predictor": {"type": "onnx"}}, "onnx"),
        ({"name": "a", "kind": "BatchAPI", "predictr": {}}, "predictr"),
    ],
)
def test_what_is_not_done_here_is_refused_with_its_reason(spec: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        convert(spec, has_class=True, taken=frozenset())


def test_a_patch_has_what_was_said_and_nothing_else() -> None:
    def changes(spec: dict[str, Any]) -> dict[str, Any]:
        return convert(spec, has_class=True, taken=frozenset()).changes(spec)

    assert changes(BATCH) == {"predictor": {"config": {"labels": "x"}}}
    assert changes({**BATCH, "predictor": {}, "autoscaling": {"max_replicas": 8}}) == {
        "predictor": {}, "workers": {"min": 0, "max": 8},
    }  # fmt: skip
    assert changes({"name": "i", "kind": "RealtimeAPI", "autoscaling": {"min_replicas": 2}}) == {
        "workers": {"min": 0, "max": 2}, "realtime": {"replicas": 2},
    }  # fmt: skip


def api(name: str, **more: Any) -> ApiBody:
    given: dict[str, Any] = {
        "name": name, "predictor": {"type": "cortex"}, "max_batch_size": 1, "max_wait_ms": 1.0, "max_attempts": 3,
        "partitions": 1, "workers": {}, "topics": {}, "active_jobs": 0, "waiting_items": 0, "rate": 0.0, "links": {},
    }  # fmt: skip
    return ApiBody(**given, **more)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """METHOD path of what a client asks; each is answered with an API, or a list of one."""
    seen: list[str] = []

    def answer(_gateway: Gateway, call: Call[Any]) -> Any:
        seen.append(f"{call.request.method} {call.request.path}")
        return [api("there")] if call.request == calls.apis().request else api("there")

    monkeypatch.setattr(Gateway, "ask", answer)
    monkeypatch.setenv("STREAM_INFER_GATEWAY", "http://gateway:8080")
    return seen


def test_an_environment_is_a_gateway_whatever_it_is_called(asked: list[str]) -> None:
    for cx in (cortex.client("aws"), cortex.client(), cortex.local_client("id", "secret", "us-west-2")):
        assert cx.get_api("there")["endpoint"] == "http://gateway:8080/there"
    for made in (
        cortex.new_client("aws", "http://other:1"),
        cortex.new_client(name="aws", operator_endpoint="http://other:1", aws_access_key_id="x"),
        cortex.cluster_client("aws", "gcp", "http://other:1", "id", "secret"),
    ):
        assert made.env == "aws"
        assert made.list_apis()[0]["endpoint"] == "http://other:1/there"
    with pytest.raises(UsageError, match="operator_endpoint"):
        cortex.new_client("aws")
    assert cortex.env_list()[0]["operator_endpoint"] == "http://gateway:8080"
    with pytest.raises(UsageError, match="STREAM_INFER_GATEWAY"):
        cortex.env_delete("aws")


def test_each_call_is_a_request(asked: list[str]) -> None:
    cx = cortex.client("aws")
    cx.patch({"name": "there", "kind": "BatchAPI", "autoscaling": {"max_replicas": 2}})
    cx.refresh("there")
    cx.delete_api("there")
    cx.delete("there", keep_cache=True)
    cx.get_job("there", "j/1")
    cx.stop_job("there", "j1")
    assert asked == [
        "PATCH /v1/apis/there", "PATCH /v1/apis/there", "DELETE /v1/apis/there?force=true",
        "DELETE /v1/apis/there?force=true", "GET /there/j%2F1", "DELETE /there/j1",
    ]  # fmt: skip


def test_what_cannot_be_created_is_said_before_anything_is_asked(asked: list[str], tmp_path: Any) -> None:
    cx = cortex.client("aws")

    class Other: ...

    for more, said in (
        ({"conda_packages": ["x"]}, "pip"),
        ({"task": print}, "TaskAPI"),
        ({"predictor": Other}, "is called Other; Cortex's are PythonPredictor"),
        ({"predictor": PythonPredictor, "project_dir": str(tmp_path)}, "cannot both be given"),
    ):
        with pytest.raises(UsageError, match=said):
            cx.create_api(BATCH, **more)
    assert asked == []
    with pytest.raises(UsageError, match="force=True"):
        cx.create_api({**BATCH, "name": "there"}, predictor=PythonPredictor, force=False)
    with pytest.raises(UsageError, match="by job, not by API"):
        cx.stream_api_logs("there")
    with pytest.raises(UsageError, match="TrafficSplitter"):
        cx.deploy_traffic_splitter({"name": "x", "apis": []})


def test_later_names_of_the_same_call_are_there(asked: list[str], tmp_path: Any) -> None:
    cx = cortex.client("aws")
    (tmp_path / "handler.py").write_text("class Handler: ...\n")
    (tmp_path / "cortex.yaml").write_text(
        "- name: iris\n  kind: RealtimeAPI\n  handler: {type: python, path: handler.py}\n"
    )
    assert "iris.compute is ignored" in cx.deploy(REALTIME, project_dir=str(tmp_path))["message"]
    [made] = cx.deploy_from_file(str(tmp_path / "cortex.yaml"))
    assert made["api"]["endpoint"] == "http://gateway:8080/there"
    assert asked.count("PUT /v1/apis/iris") == 2
    (tmp_path / "x.yaml").write_text("a: 1\n")
    with pytest.raises(UsageError, match="no list of APIs"):
        cx.deploy_from_file(str(tmp_path / "x.yaml"))
