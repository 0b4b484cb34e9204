"""The same settings, as each client of Kafka takes them."""

import ssl
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from stream_infer.errors import ConfigError, ServiceUnavailable
from stream_infer.kafka.client import client_config
from stream_infer.kafka.rights import Operation, Resource, Right, Role, rights, rows
from stream_infer.kafka.security import Token, Tokens, librdkafka_security, tls_context, token_in
from stream_infer.security_settings import OAuthSettings, SecuritySettings
from stream_infer.settings import KafkaSettings
from stream_infer.topics import Topics

OAUTH = {"token_endpoint": "https://idp.example/token", "client_id": "c", "client_secret": "s"}
LOGIN = {"username": "u", "password": "p"}


def security(**fields: Any) -> SecuritySettings:
    return SecuritySettings.model_validate(fields)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (security(), {"security.protocol": "PLAINTEXT"}),
        (
            security(protocol="SASL_SSL", sasl_mechanism="SCRAM-SHA-512", ca_file="/ca.pem", **LOGIN),
            {
                "security.protocol": "SASL_SSL", "sasl.mechanism": "SCRAM-SHA-512", "sasl.username": "u",
                "sasl.password": "p", "ssl.ca.location": "/ca.pem",
            },
        ),
        (
            security(protocol="SSL", certificate_file="/c", private_key_file="/k", private_key_password="x"),
            {
                "security.protocol": "SSL", "ssl.certificate.location": "/c", "ssl.key.location": "/k",
                "ssl.key.password": "x",
            },
        ),
        (
            security(
                protocol="SASL_SSL", sasl_mechanism="OAUTHBEARER",
                oauth={**OAUTH, "scope": "k", "extensions": {"logicalCluster": "l", "identityPoolId": "p"}},
            ),
            {
                "security.protocol": "SASL_SSL", "sasl.mechanism": "OAUTHBEARER", "sasl.oauthbearer.method": "oidc",
                "sasl.oauthbearer.token.endpoint.url": "https://idp.example/token", "sasl.oauthbearer.client.id": "c",
                "sasl.oauthbearer.client.secret": "s", "sasl.oauthbearer.scope": "k",
                "sasl.oauthbearer.extensions": "logicalCluster=l,identityPoolId=p",
            },
        ),
    ],
)  # fmt: skip
def test_librdkafka_is_told_all_of_it(settings: SecuritySettings, expected: dict[str, str]) -> None:
    assert librdkafka_security(settings) == expected
    assert expected.items() <= client_config(KafkaSettings(security=settings), "x").items()


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"protocol": "SASL_SSL"}, "sasl_mechanism"),
        ({"protocol": "SSL", "sasl_mechanism": "PLAIN", **LOGIN}, "protocol SASL_SSL"),
        ({"protocol": "SASL_SSL", "sasl_mechanism": "PLAIN", "username": "u"}, "username and password"),
        ({"protocol": "SASL_SSL", "sasl_mechanism": "OAUTHBEARER", **LOGIN}, "oauth"),
        ({"protocol": "SSL", "certificate_file": "/c"}, "belong together"),
        ({"ca_file": "/ca"}, "ca_file is not used with protocol PLAINTEXT"),
        ({"certificate_file": "/c", "private_key_file": "/k"}, "certificate_file is not used"),
        ({"protocol": "SSL", "private_key_password": "p"}, "private_key_password is not used"),
        (LOGIN, "username is not used"),
        ({"protocol": "SSL", **LOGIN}, "username is not used with protocol SSL,"),
        ({"protocol": "SASL_SSL", "sasl_mechanism": "PLAIN", **LOGIN, "oauth": OAUTH}, "oauth is not used"),
        ({"protocol": "SASL_SSL", "sasl_mechanism": "OAUTHBEARER", "oauth": OAUTH, "password": "p"}, "password is not"),
    ],
)
def test_what_would_be_half_secured_is_no_configuration(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        security(**fields)


def test_no_secret_is_in_what_a_setting_shows_of_itself() -> None:
    settings = security(
        protocol="SASL_SSL", sasl_mechanism="OAUTHBEARER", oauth={**OAUTH, "client_secret": "hunter3"},
        certificate_file="/c", private_key_file="/k", private_key_password="hunter4",
    )  # fmt: skip
    login = security(protocol="SASL_SSL", sasl_mechanism="PLAIN", username="u", password="hunter2")
    assert "hunter" not in repr(settings) + repr(login)


def test_a_file_that_is_no_certificate_is_said(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("nothing")
    for file in (tmp_path / "ca.pem", tmp_path / "missing.pem"):
        with pytest.raises(ConfigError, match=r"kafka\.security: .*\.pem"):
            tls_context(security(protocol="SSL", ca_file=file))
    context = tls_context(security(protocol="SSL"))
    assert context is not None
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert tls_context(security()) is None


def test_a_token_is_used_for_four_fifths_of_its_time() -> None:
    answer = b'{"access_token": "t", "expires_in": 300, "token_type": "Bearer"}'
    assert token_in(answer, 1000.0, "idp") == Token("t", 1240.0, 1300.0)
    assert token_in(b'{"access_token": "t"}', 0.0, "idp") == Token("t", 48.0, 60.0)
    for none in (b"0", b"-1", b"NaN"):
        assert token_in(b'{"access_token": "t", "expires_in": %b}' % none, 0.0, "idp") == Token("t", 48.0, 60.0)


def test_a_token_is_asked_for_again_before_it_ends_and_kept_where_nobody_answers() -> None:
    """It is good for 100 s: used until 80, from then on asked for each 5 s, and an error from 100 on."""
    asked: list[float] = []
    now, is_away = 0.0, False

    def ask(_oauth: OAuthSettings) -> bytes:
        asked.append(now)
        if is_away:
            raise ServiceUnavailable("the endpoint is away")
        return b'{"access_token": "t%d", "expires_in": 100}' % len(asked)

    tokens = Tokens(OAuthSettings.model_validate(OAUTH), ask, lambda: now)
    assert tokens.current() == "t1"
    now = 79.9
    assert tokens.current() == "t1"
    is_away = True
    for later in (80.0, 82.0, 85.0, 99.0):
        now = later
        assert tokens.current() == "t1"
    assert asked == [0.0, 80.0, 85.0, 99.0]
    now = 104.0
    with pytest.raises(ServiceUnavailable):
        tokens.current()
    is_away = False
    assert tokens.current() == "t6"


@pytest.mark.parametrize(
    "answer", [b"", b"[]", b"{}", b'{"access_token": 1}', b'{"access_token": "a\\u0001b"}', b'{"access_token": ""}']
)
def test_an_answer_without_a_token_is_said_and_not_repeated(answer: bytes) -> None:
    with pytest.raises(ServiceUnavailable, match="access_token"):
        token_in(answer, 0.0, "https://idp.example/token")


def test_a_workers_rights_are_its_apis_own() -> None:
    found = rights(Role.WORKER, Topics("p"), ["cats"])
    assert Right(Operation.READ, Resource.TOPIC, "p.cats.items") in found
    assert Right(Operation.WRITE, Resource.TRANSACTIONAL_ID, "p.cats.worker.", is_prefix=True) in found
    assert not [right for right in found if right.operation is Operation.WRITE and right.name in ("p.jobs", "p.status")]
    assert not [right for right in found if "dogs" in right.name]


def test_only_who_makes_topics_may_change_them() -> None:
    changing = {Operation.CREATE, Operation.ALTER, Operation.ALTER_CONFIGS}
    for role in Role:
        has = {right.operation for right in rights(role, Topics("p"), ["cats"])} & changing
        assert has == (changing if role is Role.TOPICS else set()), role


def test_a_row_has_all_that_may_be_done_with_a_resource() -> None:
    found = rows(
        [
            Right(Operation.READ, Resource.TOPIC, "p.a"),
            Right(Operation.WRITE, Resource.TOPIC, "p.b", is_prefix=True),
            Right(Operation.WRITE, Resource.TOPIC, "p.a"),
        ]
    )
    assert [(row.name, row.operations) for row in found] == [
        ("p.a", (Operation.READ, Operation.WRITE)),
        ("p.b*", (Operation.WRITE,)),
    ]
