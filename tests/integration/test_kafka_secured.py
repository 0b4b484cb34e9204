"""Roles on a real Kafka that asks for TLS, a login and rights: each has those of docs/security.md, and no other."""

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from stream_infer.errors import ServiceUnavailable, StreamInferError
from stream_infer.jobs.events import Submitted, encode_event
from stream_infer.jobs.status import decode_status
from stream_infer.kafka import admin
from stream_infer.kafka.groups import group_lag
from stream_infer.kafka.publisher import Publisher
from stream_infer.kafka.rights import Operation, Resource, Right, Role, rights
from stream_infer.kafka.topic_reader import TopicReader
from stream_infer.local.free_ports import find_free
from stream_infer.local.leashed import LeashedProcess
from stream_infer.records import OutgoingRecord
from stream_infer.security_settings import SecuritySettings
from stream_infer.settings import Settings
from stream_infer.topics import Topics
from stream_infer.tracker import run as run_tracker
from stream_infer.webhooks import new_secret
from tests.support.certificates import Authority
from tests.support.gateway import HttpClient
from tests.support.roles import running
from tests.support.secured_kafka import Decision, SecuredKafka, TokenEndpoint, token_endpoint
from tests.support.services import missing
from tests.support.settings import predictor, settings_for

ROOT = Path(__file__).parents[2]
PASSWORD = "a password; with 'signs' \\ in it"
GUARDED = "guarded.py:Guarded"


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredKafka]:
    kafka = SecuredKafka(tmp_path_factory.mktemp("secured"))
    try:
        kafka.start()
    except ServiceUnavailable as error:
        missing(str(error))
    yield kafka
    kafka.stop()


def eventually(found: Callable[[], Any], within_s: float = 60.0, said: Callable[[], str] = str) -> Any:
    deadline = time.monotonic() + within_s
    while not (value := found()):
        assert time.monotonic() < deadline, said()
        time.sleep(0.1)
    return value


def with_kafka(settings: Settings, bootstrap: str, **security: Any) -> Settings:
    kafka = settings.kafka.model_copy(
        update={"bootstrap_servers": bootstrap, "security": SecuritySettings.model_validate(security)}
    )
    return settings.model_copy(update={"kafka": kafka})


@pytest.mark.parametrize("how", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER", "certificate"])
def test_both_clients_log_in_as_they_are_told(
    secured: SecuredKafka, tmp_path: Path, topic_prefix: str, how: str
) -> None:
    """librdkafka makes the topics; aiokafka, below Faust, folds an event into a status."""
    plain = settings_for(secured.broker.bootstrap_servers, topic_prefix, tmp_path)
    topics, names = Topics(topic_prefix), [api.name for api in plain.apis]
    user = "plain" if how == "PLAIN" else f"user-{how.lower()}"
    secured.allow(user, [*rights(Role.TOPICS, topics, names), *rights(Role.TRACKER, topics, names)])
    with ExitStack() as stack:
        bootstrap = secured.sasl_ssl
        endpoint: TokenEndpoint | None = None
        security: dict[str, Any] = {"protocol": "SASL_SSL", "sasl_mechanism": how, "ca_file": secured.authority.file}
        match how:
            case "PLAIN":
                security |= {"username": user, "password": "plain-password"}
            case "OAUTHBEARER":
                endpoint = stack.enter_context(token_endpoint({user: "s3cret"}))
                security |= {"oauth": oauth_of(endpoint.url, user)}
            case "certificate":
                pair, bootstrap = secured.certificate(user), secured.ssl
                security = {"protocol": "SSL", "ca_file": secured.authority.file}
                security |= {"certificate_file": pair.certificate, "private_key_file": pair.private_key}
            case _:
                secured.add_user(user, PASSWORD)
                security |= {"username": user, "password": PASSWORD}
        settings = with_kafka(plain, bootstrap, **security)
        admin.apply(settings)
        with running(lambda stop, ready: run_tracker(settings, stop, ready)):
            publisher = Publisher(plain.kafka, "test")
            event = Submitted(job_id="a", at=time.time(), api="echo")
            publisher.publish([OutgoingRecord(topics.progress, b"a", encode_event(event))])
            publisher.close()
            [status] = eventually(lambda: _statuses(plain))
            assert (status.job_id, status.api) == ("a", "echo")
        if endpoint is not None:
            assert (set(endpoint.granted), endpoint.refused) == ({user}, [])
    assert [denied for denied in secured.broker.decisions() if denied.user == user and not denied.is_allowed] == []


def oauth_of(url: str, user: str, secret: str = "s3cret") -> dict[str, str]:
    return {"token_endpoint": url, "client_id": user, "client_secret": secret, "scope": "kafka"}


@pytest.mark.timeout(300)
def test_tokens_are_renewed_and_an_endpoint_that_is_away_ends_nobody(
    secured: SecuredKafka, tmp_path: Path, topic_prefix: str
) -> None:
    """Tokens of 8 s, and a broker that ends connections whose token has ended: the tracker loses all of its own while
    nobody gives it another, and goes on once somebody does. librdkafka brings the next one in time."""
    plain = settings_for(secured.broker.bootstrap_servers, topic_prefix, tmp_path)
    topics, user = Topics(topic_prefix), "renewing"
    secured.allow(user, [*rights(Role.TOPICS, topics, ["echo"]), *rights(Role.TRACKER, topics, ["echo"])])
    admin.apply(plain)

    def submit(publisher: Publisher, job_id: str) -> None:
        event = Submitted(job_id=job_id, at=time.time(), api="echo")
        publisher.publish([OutgoingRecord(topics.progress, job_id.encode(), encode_event(event))], 60.0)

    with token_endpoint({user: "s3cret"}, lives_s=8) as endpoint:
        settings = with_kafka(
            plain, secured.sasl_ssl, protocol="SASL_SSL", sasl_mechanism="OAUTHBEARER",
            ca_file=secured.authority.file, oauth=oauth_of(endpoint.url, user),
        )  # fmt: skip
        publisher = Publisher(settings.kafka, "test")
        with running(lambda stop, ready: run_tracker(settings, stop, ready)):
            submit(publisher, "a")
            eventually(lambda: len(_statuses(plain)) == 1)
            asked = len(endpoint.granted)
            eventually(lambda: len(endpoint.granted) >= asked + 3)  # the ends of several tokens
            submit(publisher, "b")
            eventually(lambda: len(_statuses(plain)) == 2)

            endpoint.is_away = True
            eventually(lambda: len(endpoint.refused) >= 6)
            time.sleep(10)  # beyond the end of every token that there is
            endpoint.is_away = False
            submit(publisher, "c")
            eventually(lambda: {one.job_id for one in _statuses(plain)} == {*"abc"})
        publisher.close()


def _statuses(settings: Settings) -> list[Any]:
    reader = TopicReader(settings.kafka, Topics(settings.kafka.topic_prefix).status)
    try:
        return [decode_status(message.value or b"") for message in reader.read_to_end()]
    finally:
        reader.close()


@pytest.mark.parametrize("wrong", ["password", "authority", "secret"])
def test_who_is_not_let_in_is_told_within_seconds(
    secured: SecuredKafka, tmp_path: Path, topic_prefix: str, wrong: str
) -> None:
    secured.add_user("somebody", PASSWORD)
    security: dict[str, Any] = {
        "protocol": "SASL_SSL", "sasl_mechanism": "SCRAM-SHA-512", "ca_file": secured.authority.file,
        "username": "somebody", "password": PASSWORD,
    }  # fmt: skip
    with ExitStack() as stack:
        match wrong:
            case "password":
                security["password"] = "another"
            case "authority":
                security["ca_file"] = Authority(tmp_path, "a stranger").file
            case "secret":
                endpoint = stack.enter_context(token_endpoint({"somebody": "right"}))
                del security["username"], security["password"]
                security |= {"sasl_mechanism": "OAUTHBEARER", "oauth": oauth_of(endpoint.url, "somebody", "wrong")}
        settings = with_kafka(settings_for("", topic_prefix, tmp_path), secured.sasl_ssl, **security)
        began = time.monotonic()
        with pytest.raises(ServiceUnavailable) as caught:
            admin.plan(settings)
    assert time.monotonic() - began < 30
    assert PASSWORD not in str(caught.value)


@dataclass(frozen=True, slots=True)
class RunningRole:
    process: LeashedProcess
    log: Path

    def said(self) -> str:
        return self.log.read_text(errors="replace")


ROLES = (Role.TRACKER, Role.SINK, Role.WORKER, Role.INTAKE, Role.GATEWAY)


def started(role: Role, settings: Settings, folder: Path) -> RunningRole:
    """`stream-infer ROLE` as an operator starts it, with a configuration of its own."""
    config, log = folder / f"{role}.yaml", folder / f"{role}.log"
    config.write_text(yaml.safe_dump(settings.model_dump(mode="json", exclude_unset=True)))
    ready, says_ready = os.pipe()
    command = [sys.executable, "-m", "stream_infer", role.value, "-f", str(config), "--ready-fd", str(says_ready)]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = LeashedProcess.start(command, output=log, env=env, keep_fds=[says_ready])
    os.close(says_ready)
    with os.fdopen(ready, "rb") as told:
        assert told.read(1), log.read_text(errors="replace")
    return RunningRole(process, log)


@pytest.mark.timeout(300)
def test_each_role_works_with_the_rights_of_the_table_and_with_no_fewer(
    secured: SecuredKafka, tmp_path: Path, topic_prefix: str
) -> None:
    api = {"predictor": {**predictor(GUARDED), "on_job_complete": True}, "retry": {"delays": [0.2], "max_attempts": 2}}
    port, nobody = find_free(2)
    plain = settings_for(
        secured.broker.bootstrap_servers, topic_prefix, tmp_path, api=api,
        gateway={"listen": f"127.0.0.1:{port}"}, sink={"flush_age": 1.0, "eof_linger": 0.2},
        webhooks={"url": f"http://127.0.0.1:{nobody}/", "secrets": [new_secret()], "allow_private_addresses": True},
    )  # fmt: skip
    topics, names = Topics(topic_prefix), [one.name for one in plain.apis]
    given = {role: rights(role, topics, names) for role in Role}

    def as_user(role: Role) -> Settings:
        user = f"{topic_prefix}-{role}"
        secured.add_user(user, PASSWORD)
        secured.allow(user, given[role])
        return with_kafka(
            plain, secured.sasl_ssl, protocol="SASL_SSL", sasl_mechanism="SCRAM-SHA-512", username=user,
            password=PASSWORD, ca_file=secured.authority.file,
        )  # fmt: skip

    operator = as_user(Role.TOPICS)
    smaller = operator.apis[0].model_copy(update={"partitions": 1})
    younger = operator.jobs.model_copy(update={"retention": 3600.0})
    admin.apply(operator.model_copy(update={"apis": [smaller], "jobs": younger}))
    admin.apply(operator)  # grows and alters them
    admin.check_topics(operator)
    assert admin.missing_first_offsets(operator) == []
    assert admin.retention_conflicts(operator) == []
    roles: list[RunningRole] = []
    with ExitStack() as stack:
        for role in ROLES:
            roles.append(started(role, as_user(role), tmp_path))
            stack.callback(roles[-1].process.stop)
        client = HttpClient(f"http://127.0.0.1:{port}")
        stack.callback(client.close)
        _do_everything(client, lambda: "\n".join(role.said()[-4000:] for role in roles))
        scaler = as_user(Role.SCALER)
        assert sum(group_lag(scaler, topics.api("echo").worker_group, [topics.api("echo").items]).values()) >= 0
    said = "\n".join(role.said() for role in roles)
    decisions = [one for one in secured.broker.decisions() if one.user.startswith(f"{topic_prefix}-")]

    assert sorted({one for one in decisions if not one.is_allowed}, key=str) == []
    assert "authorization" not in said.lower()
    unused = {
        role.value: [right for right in held if not _was_used(right, decisions, f"{topic_prefix}-{role}")]
        for role, held in given.items()
    }
    assert {role: held for role, held in unused.items() if held} == {}


def _do_everything(client: HttpClient, said: Callable[[], str]) -> None:
    """A job with a dead letter, a hook and its replay, one that is stopped, one that times out, items without a job.

    Their ends are told to a receiver that is away.
    """
    path = "/v1/apis/echo/jobs"

    def ended(job_id: str) -> Any:
        job = client("GET", f"/v1/jobs/{job_id}", status=200)
        return job if job["is_final"] else None

    spec = {"item_list": {"items": [*range(20), "bad"]}}
    job_id = client("POST", path, spec, status=202, idempotency_key="once")["job_id"]
    assert eventually(lambda: ended(job_id), said=said)["state"] == "completed_with_failures", said()
    assert client("GET", f"/v1/jobs/{job_id}/results", status=200).count(b"\n") == 20
    assert client("GET", f"/v1/jobs/{job_id}/failures", status=200).count(b"\n") == 1
    assert client("GET", f"/v1/jobs/{job_id}/logs", status=200)["lines"]
    assert len(client("GET", f"/v1/jobs/{job_id}/dlq", status=200)["dead_letters"]) == 1
    assert client("POST", f"/v1/jobs/{job_id}/dlq/replay", {}, status=200)["replayed"] == 1
    assert eventually(lambda: ended(job_id), said=said)["generation"] == 2

    slow = {"item_list": {"items": ["slow"] * 2000}, "timeout": 2}
    late = client("POST", path, slow, status=202)["job_id"]
    assert eventually(lambda: ended(late), said=said)["state"] == "timed_out", said()
    stopped = client("POST", path, {"item_list": {"items": ["slow"] * 2000}}, status=202)["job_id"]
    client("DELETE", f"/v1/jobs/{stopped}", status=200)
    assert eventually(lambda: ended(stopped), said=said)["state"] == "stopped", said()

    lines = b'"bad"\n"good"\n'
    client("POST", "/v1/apis/echo/items", raw=lines, status=202, content_type="application/x-ndjson")
    letters = "/v1/apis/echo/dlq"
    eventually(lambda: client("GET", letters, status=200)["dead_letters"], said=said)
    assert client("GET", "/v1/apis/echo", status=200)["name"] == "echo"
    assert client("GET", "/readyz", status=200)["status"] == "ready"
    told = f"/v1/webhooks?job_id={job_id}"
    eventually(lambda: len(client("GET", told, status=200)["deliveries"]) == 2, said=said)


_KINDS = {
    Resource.TOPIC: "Topic",
    Resource.GROUP: "Group",
    Resource.TRANSACTIONAL_ID: "TransactionalId",
    Resource.CLUSTER: "Cluster",
}
_NAMES = {
    operation: "".join(f"_{c}" if c.isupper() else c for c in operation.value).strip("_").upper()
    for operation in Operation
}


def _was_used(right: Right, decisions: list[Decision], user: str) -> bool:
    return any(
        one.user == user
        and one.resource == _KINDS[right.resource]
        and one.operation == _NAMES[right.operation]
        and (one.name.startswith(right.name) if right.is_prefix else one.name == right.name)
        for one in decisions
    )


@pytest.mark.parametrize(
    ("role", "topic"),
    [(Role.WORKER, "jobs"), (Role.SINK, "status"), (Role.INTAKE, "status"), (Role.TRACKER, "jobs")],
)
def test_a_role_may_not_write_what_is_not_its_own(
    secured: SecuredKafka, tmp_path: Path, topic_prefix: str, role: Role, topic: str
) -> None:
    plain = settings_for(secured.broker.bootstrap_servers, topic_prefix, tmp_path)
    admin.apply(plain)
    user = f"{topic_prefix}-{role}"
    secured.add_user(user, PASSWORD)
    secured.allow(user, rights(role, Topics(topic_prefix), ["echo"]))
    settings = with_kafka(
        plain, secured.sasl_ssl, protocol="SASL_SSL", sasl_mechanism="SCRAM-SHA-256", username=user,
        password=PASSWORD, ca_file=secured.authority.file,
    )  # fmt: skip
    publisher = Publisher(settings.kafka, "test")
    try:
        with pytest.raises(StreamInferError):
            publisher.publish([OutgoingRecord(f"{topic_prefix}.{topic}", b"a", b"{}")], 15.0)
    finally:
        publisher.close()
