"""A real Kafka that asks for TLS, a login and rights, and writes down what of them was used."""

import base64
import json
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

from stream_infer.kafka.rights import Operation, Resource, Right
from stream_infer.local.broker import BrokerConfig, LocalBroker
from stream_infer.local.free_ports import find_free
from tests.support.certificates import Authority, Pair

HOST = "127.0.0.1"
_SECURITY = "org.apache.kafka.common.security"
_RESOURCES = {
    Resource.TOPIC: ResourceType.TOPIC,
    Resource.GROUP: ResourceType.GROUP,
    Resource.TRANSACTIONAL_ID: ResourceType.TRANSACTIONAL_ID,
    Resource.CLUSTER: ResourceType.BROKER,
}
_OPERATIONS = {
    Operation.READ: AclOperation.READ,
    Operation.WRITE: AclOperation.WRITE,
    Operation.CREATE: AclOperation.CREATE,
    Operation.ALTER: AclOperation.ALTER,
    Operation.DESCRIBE: AclOperation.DESCRIBE,
    Operation.DESCRIBE_CONFIGS: AclOperation.DESCRIBE_CONFIGS,
    Operation.ALTER_CONFIGS: AclOperation.ALTER_CONFIGS,
}
# Principal = User:x is Allowed operation = READ from host = … on resource = Topic:LITERAL:t.jobs for request = Fetch …
_DECISION = re.compile(
    r"Principal = User:(?P<user>\S+) is (?P<verdict>Allowed|Denied) operation = (?P<operation>\w+) .*?"
    r"on resource = (?P<kind>\w+):(?P<pattern>\w+):(?P<name>\S+) for request = (?P<request>\w+)"
)


@dataclass(frozen=True, slots=True)
class Decision:
    """What the authorizer said once."""

    user: str
    is_allowed: bool
    operation: str
    resource: str
    name: str
    request: str


class SecuredBroker(LocalBroker):
    """`LocalBroker`, whose authorizer also writes down what it allows."""

    def _write_files(self, ports: Any) -> None:
        super()._write_files(ports)
        file = self._data / "log4j2.properties"
        log = self._data / "authorizer.log"
        file.write_text(
            file.read_text()
            + f"""\
appender.authorizer.type=File
appender.authorizer.name=authorizer
appender.authorizer.fileName={log}
appender.authorizer.layout.type=PatternLayout
appender.authorizer.layout.pattern=%m%n
logger.authorizer.name=kafka.authorizer.logger
logger.authorizer.level=debug
logger.authorizer.additivity=false
logger.authorizer.appenderRef.file.ref=authorizer
"""
        )

    def decisions(self) -> list[Decision]:
        text = (self._data / "authorizer.log").read_text(errors="replace")
        return [
            Decision(user, verdict == "Allowed", operation, kind, name, request)
            for user, verdict, operation, kind, _, name, request in _DECISION.findall(text)
        ]


class SecuredKafka:
    """The listeners of one broker: `sasl_ssl` and, with certificates of clients, `ssl`. `admin` is asked by plain text,
    which nobody but the test may use."""

    def __init__(self, folder: Path) -> None:
        self.authority = Authority(folder)
        plain, sasl, tls = find_free(3)
        self.sasl_ssl, self.ssl = f"{HOST}:{sasl}", f"{HOST}:{tls}"
        broker = self.authority.issue("broker")
        config = BrokerConfig(
            folder / "kafka", port=plain, overrides=_overrides(plain, sasl, tls, broker, self.authority)
        )
        self.broker = SecuredBroker(config)

    def start(self) -> None:
        self.broker.start()
        self.admin = AdminClient({"bootstrap.servers": self.broker.bootstrap_servers})

    def certificate(self, user: str) -> Pair:
        return self.authority.issue(user)

    def add_user(self, user: str, password: str) -> None:
        """By both SCRAMs."""
        upserts = [
            UserScramCredentialUpsertion(user, ScramCredentialInfo(mechanism, 4096), password.encode())
            for mechanism in (ScramMechanism.SCRAM_SHA_256, ScramMechanism.SCRAM_SHA_512)
        ]
        for upsert in upserts:
            for future in self.admin.alter_user_scram_credentials([upsert]).values():
                future.result(30)

        def known() -> bool:
            described = self.admin.describe_user_scram_credentials([user])[user].result(30)
            return len(described.scram_credential_infos) == len(upserts)

        _until(known)

    def allow(self, user: str, rights: Iterable[Right]) -> None:
        """These, beside what the user may already."""
        bindings = [
            AclBinding(
                _RESOURCES[right.resource],
                right.name,
                ResourcePatternType.PREFIXED if right.is_prefix else ResourcePatternType.LITERAL,
                f"User:{user}",
                "*",
                _OPERATIONS[right.operation],
                AclPermissionType.ALLOW,
            )
            for right in dict.fromkeys(rights)
        ]
        for future in self.admin.create_acls(bindings, request_timeout=30).values():
            future.result(30)
        of_user = AclBindingFilter(
            ResourceType.ANY,
            None,
            ResourcePatternType.ANY,
            f"User:{user}",
            None,
            AclOperation.ANY,
            AclPermissionType.ANY,
        )
        _until(lambda: set(self.admin.describe_acls(of_user).result(30)) >= set(bindings))

    def stop(self) -> None:
        self.broker.stop()


def _until(holds: Callable[[], bool]) -> None:
    """Kafka answers once something is written down; the broker that asks for it reads it a moment later."""
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _overrides(plain: int, sasl: int, tls: int, broker: Pair, authority: Authority) -> dict[str, str]:
    listeners = f"PLAINTEXT://{HOST}:{plain},SASL_SSL://{HOST}:{sasl},SSL://{HOST}:{tls}"
    [controller] = find_free(1)
    mechanism = "listener.name.sasl_ssl.{}.sasl.jaas.config".format
    return {
        "controller.quorum.voters": f"1@{HOST}:{controller}",
        "listeners": f"{listeners},CONTROLLER://{HOST}:{controller}",
        "advertised.listeners": listeners,
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL_SSL:SASL_SSL,SSL:SSL",
        "sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER",
        mechanism("plain"): f'{_SECURITY}.plain.PlainLoginModule required user_plain="plain-password";',
        mechanism("scram-sha-256"): f"{_SECURITY}.scram.ScramLoginModule required;",
        mechanism("scram-sha-512"): f"{_SECURITY}.scram.ScramLoginModule required;",
        # Takes tokens that nobody has signed: what is tested is how clients come by theirs.
        mechanism("oauthbearer"): f"{_SECURITY}.oauthbearer.OAuthBearerLoginModule required;",
        # A connection is good for as long as its token. librdkafka brings the next one; aiokafka's is ended (KIP-368).
        "listener.name.sasl_ssl.oauthbearer.connections.max.reauth.ms": "3600000",
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(broker.both),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(authority.file),
        "listener.name.ssl.ssl.client.auth": "required",
        "ssl.principal.mapping.rules": "RULE:^CN=(.*?)$/$1/,DEFAULT",
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        # Plain text is the controller's own way, and the test's.
        "super.users": "User:ANONYMOUS",
        "allow.everyone.if.no.acl.found": "false",
    }  # fmt: skip


@dataclass(slots=True)
class TokenEndpoint:
    """`granted` and `refused`: who has asked it, in turn. While it `is_away` it answers 503."""

    url: str = ""
    granted: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    is_away: bool = False


@contextmanager
def token_endpoint(secrets: dict[str, str], lives_s: int = 300) -> Iterator[TokenEndpoint]:
    """An OAuth 2 token endpoint for the clients of these ids and secrets."""
    endpoint = TokenEndpoint()

    def part(value: dict[str, Any]) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            given = base64.b64decode(self.headers.get("Authorization", "").removeprefix("Basic ")).decode()
            client, _, secret = given.partition(":")
            now = int(time.time())
            claims = {"sub": client, "iat": now, "exp": now + lives_s, "scope": "kafka"}
            token = f"{part({'alg': 'none', 'typ': 'JWT'})}.{part(claims)}."
            body = json.dumps({"access_token": token, "token_type": "Bearer", "expires_in": lives_s}).encode()
            status = 503 if endpoint.is_away else 200 if secrets.get(client) == secret else 401
            (endpoint.granted if status == 200 else endpoint.refused).append(client)
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body) if status == 200 else 2))
            self.end_headers()
            self.wfile.write(body if status == 200 else b"{}")

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer((HOST, 0), Handler)
    thread = threading.Thread(target=server.serve_forever, name="tokens", daemon=True)
    thread.start()
    endpoint.url = f"http://{HOST}:{server.server_port}/token"
    try:
        yield endpoint
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
