"""TLS and logins in stream-infer.yaml: towards Kafka, and of our own server."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from stream_infer.predictor_settings import SettingsPart


class TlsSettings(SettingsPart):
    """A server's certificate, with those that lead to its root, and its private key: PEM, read again once renewed."""

    certificate_file: Path
    private_key_file: Path


class OAuthSettings(SettingsPart):
    """Tokens for Kafka by OAuth 2's client credentials, asked for at `token_endpoint` and renewed before they end.

    `extensions` are sent to the broker with each, as Confluent Cloud wants its logicalCluster.
    """

    token_endpoint: str = Field(pattern=r"^https?://[^\s@]+$")
    client_id: str = Field(min_length=1)
    client_secret: str = Field(min_length=1, repr=False)
    scope: str | None = Field(default=None, min_length=1)
    extensions: dict[str, str] = Field(default_factory=dict)


class SecuritySettings(SettingsPart):
    """TLS and SASL towards Kafka, used by every role. `ca_file`: whom to trust, where that is not the machine's choice.

    `certificate_file` and `private_key_file`: our own, for brokers that ask clients for one.
    """

    protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"] | None = None
    username: str | None = None
    password: str | None = Field(default=None, repr=False)
    oauth: OAuthSettings | None = None
    ca_file: Path | None = None
    certificate_file: Path | None = None
    private_key_file: Path | None = None
    private_key_password: str | None = Field(default=None, repr=False)

    @property
    def is_encrypted(self) -> bool:
        return self.protocol.endswith("SSL")

    @property
    def is_authenticated(self) -> bool:
        return self.protocol.startswith("SASL")

    @model_validator(mode="after")
    def _is_whole(self) -> SecuritySettings:
        if self.is_authenticated != (self.sasl_mechanism is not None):
            raise ValueError(
                "sasl_mechanism says how to log in, and protocol SASL_SSL or SASL_PLAINTEXT that it is done: set both"
            )
        if self.sasl_mechanism == "OAUTHBEARER":
            if self.oauth is None:
                raise ValueError("OAUTHBEARER needs oauth: {token_endpoint, client_id, client_secret}")
        elif self.sasl_mechanism is not None and not (self.username and self.password):
            raise ValueError(f"{self.sasl_mechanism} needs username and password")
        if (self.certificate_file is None) != (self.private_key_file is None):
            raise ValueError("certificate_file and private_key_file belong together: set both")
        unused = self._unused()
        if unused is not None:
            how = f"protocol {self.protocol}" + (f" and {self.sasl_mechanism}" if self.sasl_mechanism else "")
            raise ValueError(f"{unused} is not used with {how}, and would secure nothing: leave it out, or say how")
        return self

    def _unused(self) -> str | None:
        """What is set for nothing: whoever sets it believes that it is used."""
        is_login = self.is_authenticated and self.sasl_mechanism != "OAUTHBEARER"
        used = {
            "ca_file": self.is_encrypted,
            "certificate_file": self.is_encrypted,
            "private_key_password": self.private_key_file is not None,
            "username": is_login,
            "password": is_login,
            "oauth": self.sasl_mechanism == "OAUTHBEARER",
        }
        return next((name for name, is_used in used.items() if getattr(self, name) is not None and not is_used), None)
