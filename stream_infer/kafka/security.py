"""How clients of Kafka prove who they are and whom they talk to, from the same settings: for librdkafka here, and in
parts for the tracker, whose client is another one."""

from __future__ import annotations

import base64
import json
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import structlog
import urllib3
from urllib3.exceptions import HTTPError

from stream_infer.errors import ConfigError, ServiceUnavailable
from stream_infer.security_settings import OAuthSettings, SecuritySettings

# A token is renewed when this part of its time is over, as librdkafka does.
_RENEWED_AFTER = 0.8
_ASK_TIMEOUT_S = 10.0
# Of an endpoint that did not answer, while the token is still good.
_ASK_AGAIN_S = 5.0
# Of a token that does not say how long it is good for.
_PRESUMED_S = 60.0
_LOG = structlog.get_logger(__name__)


def librdkafka_security(security: SecuritySettings) -> dict[str, Any]:
    """The properties of librdkafka that say so. It asks for tokens by itself, and renews them without being polled."""
    config: dict[str, Any] = {"security.protocol": security.protocol}
    if security.sasl_mechanism is not None:
        config["sasl.mechanism"] = security.sasl_mechanism
    if security.oauth is not None and security.sasl_mechanism == "OAUTHBEARER":
        config |= _oidc(security.oauth)
    elif security.sasl_mechanism is not None:
        config |= {"sasl.username": security.username or "", "sasl.password": security.password or ""}
    files = {
        "ssl.ca.location": security.ca_file,
        "ssl.certificate.location": security.certificate_file,
        "ssl.key.location": security.private_key_file,
    }
    config |= {name: str(file) for name, file in files.items() if file is not None}
    if security.private_key_password is not None:
        config["ssl.key.password"] = security.private_key_password
    return config


def tls_context(security: SecuritySettings) -> ssl.SSLContext | None:
    """The same for a client that takes Python's own; None: nothing is encrypted. Raises ConfigError."""
    if not security.is_encrypted:
        return None
    try:
        context = ssl.create_default_context(cafile=security.ca_file)
        if security.certificate_file is not None:
            # A password, or OpenSSL asks the terminal for that of an encrypted key.
            password = security.private_key_password or ""
            context.load_cert_chain(security.certificate_file, security.private_key_file, password=password)
    except (OSError, ValueError) as error:
        files = ", ".join(str(file) for file in (security.ca_file, security.certificate_file) if file is not None)
        raise ConfigError(f"kafka.security: {files or 'the certificates'} cannot be used: {error}") from None
    return context


def _oidc(oauth: OAuthSettings) -> dict[str, str]:
    config = {
        "sasl.oauthbearer.method": "oidc",
        "sasl.oauthbearer.token.endpoint.url": oauth.token_endpoint,
        "sasl.oauthbearer.client.id": oauth.client_id,
        "sasl.oauthbearer.client.secret": oauth.client_secret,
    }
    if oauth.scope is not None:
        config["sasl.oauthbearer.scope"] = oauth.scope
    if oauth.extensions:
        config["sasl.oauthbearer.extensions"] = ",".join(f"{name}={value}" for name, value in oauth.extensions.items())
    return config


class Token(NamedTuple):
    """`renew_at`: from when on another is asked for; `ends_at`: until when it is good. Both by the monotonic clock."""

    text: str
    renew_at: float
    ends_at: float


def _ask(oauth: OAuthSettings) -> bytes:
    """The endpoint's answer. Blocks for up to 10 s. Raises ServiceUnavailable."""
    fields = {"grant_type": "client_credentials"} | ({} if oauth.scope is None else {"scope": oauth.scope})
    login = base64.b64encode(f"{oauth.client_id}:{oauth.client_secret}".encode()).decode()
    timeout = urllib3.Timeout(total=_ASK_TIMEOUT_S)
    try:
        with urllib3.PoolManager(retries=False, timeout=timeout) as pool:
            answer = pool.request(
                "POST",
                oauth.token_endpoint,
                fields=fields,
                headers={"Authorization": f"Basic {login}"},
                encode_multipart=False,
                redirect=False,
            )
    except HTTPError as error:
        raise ServiceUnavailable(
            f"no token for Kafka: {oauth.token_endpoint} does not answer ({type(error).__name__})"
        ) from None
    if answer.status != 200:
        raise ServiceUnavailable(
            f"no token for Kafka: {oauth.token_endpoint} answers {answer.status} to {oauth.client_id}; "
            "are kafka.security.oauth.client_id and client_secret right?"
        )
    return answer.data


@dataclass(slots=True)
class Tokens:
    """Tokens by OAuth 2's client credentials (RFC 6749, 4.4), each used for as long as it is good. One thread at a time
    uses it."""

    oauth: OAuthSettings
    ask: Callable[[OAuthSettings], bytes] = _ask
    clock: Callable[[], float] = time.monotonic
    _token: Token | None = None

    def current(self) -> str:
        """Blocks for up to 10 s where a new one is needed. Raises ServiceUnavailable where there is none to be had, and
        the last one has ended."""
        now, held = self.clock(), self._token
        if held is not None and now < held.renew_at:
            return held.text
        try:
            self._token = token_in(self.ask(self.oauth), now, self.oauth.token_endpoint)
        except ServiceUnavailable as error:
            if held is None or self.clock() >= held.ends_at:
                raise
            _LOG.warning("token_not_renewed", reason=str(error), good_for_s=round(held.ends_at - now))
            self._token = held._replace(renew_at=self.clock() + _ASK_AGAIN_S)
        return self._token.text


def token_in(answer: bytes, now: float, where: str) -> Token:
    """The token of an endpoint's answer. Raises ServiceUnavailable where it has none; what it has is not repeated."""
    try:
        document = json.loads(answer)
        text, lives_s = document["access_token"], float(document.get("expires_in", _PRESUMED_S))
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ServiceUnavailable(f"{where} answers no token: there is no access_token in its JSON") from None
    if not isinstance(text, str) or not text or not text.isascii() or not text.isprintable():
        raise ServiceUnavailable(f"{where} answers an access_token that is no text")
    if not lives_s > 0:  # or no number at all, which JSON of Python's may hold
        lives_s = _PRESUMED_S
    return Token(text, now + lives_s * _RENEWED_AFTER, now + lives_s)
