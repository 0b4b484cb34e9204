"""The certificate that a server shows, and the next one."""

import ssl
from pathlib import Path
from typing import Any, cast

import pytest

from stream_infer.errors import ConfigError
from stream_infer.http.tls import open_tls
from stream_infer.security_settings import TlsSettings
from tests.support.certificates import Authority, Pair


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def settings_of(pair: Pair) -> TlsSettings:
    return TlsSettings(certificate_file=pair.certificate, private_key_file=pair.private_key)


def renew(used: Pair, by: Pair) -> None:
    used.certificate.write_bytes(by.certificate.read_bytes())
    used.private_key.write_bytes(by.private_key.read_bytes())


def shown(listening: ssl.SSLContext, authority: Authority, host: str | None = "localhost", ciphers: str = "") -> str:
    """The common name in the certificate that a client sees. Raises ssl.SSLError where they do not come together."""
    asking = ssl.create_default_context(cafile=authority.file)
    if host is None:
        asking.check_hostname = False
    if ciphers:
        asking.maximum_version = ssl.TLSVersion.TLSv1_2
        asking.set_ciphers(ciphers)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = asking.wrap_bio(to_client, to_server, server_hostname=host)
    server = listening.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(4):
        for side in (client, server):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    subject = cast(Any, client.getpeercert())["subject"]
    return str(dict(pair for part in subject for pair in part)["commonName"])


@pytest.mark.parametrize("host", ["localhost", None])
def test_a_listener_shows_the_certificate_that_was_read_last(authority: Authority, host: str | None) -> None:
    used, second, third = (authority.issue(name) for name in ("used", "second", "third"))
    tls = open_tls(settings_of(used))
    assert tls is not None
    listening = tls.value
    assert shown(listening, authority, host) == "used"

    used.certificate.write_bytes(second.certificate.read_bytes())
    assert not tls.refresh(), "its key is not there yet"
    assert shown(listening, authority, host) == "used"
    renew(used, second)
    assert tls.refresh()
    assert shown(listening, authority, host) == "second"
    renew(used, third)
    assert tls.refresh()
    assert shown(listening, authority, host) == "third"


def test_a_certificate_of_another_kind_of_key_leaves_nothing_of_the_last_one(authority: Authority) -> None:
    used, elliptic = authority.issue("rsa", rsa=True), authority.issue("elliptic")
    tls = open_tls(settings_of(used))
    assert tls is not None
    listening, only_rsa = tls.value, "ECDHE-RSA-AES128-GCM-SHA256"
    assert shown(listening, authority, ciphers=only_rsa) == "rsa"

    renew(used, elliptic)
    assert tls.refresh()
    assert shown(listening, authority) == "elliptic"
    with pytest.raises(ssl.SSLError):
        shown(listening, authority, ciphers=only_rsa)


def test_old_versions_of_tls_are_refused(authority: Authority) -> None:
    tls = open_tls(settings_of(authority.issue("versions")))
    assert tls is not None
    assert tls.value.minimum_version is ssl.TLSVersion.TLSv1_2


def test_a_certificate_of_another_key_is_refused_at_the_start(authority: Authority) -> None:
    one, other = authority.issue("one"), authority.issue("other")
    for certificate, private_key in ((one.certificate, other.private_key), (one.private_key, one.private_key)):
        with pytest.raises(ConfigError, match=r"gateway\.tls"):
            open_tls(TlsSettings(certificate_file=certificate, private_key_file=private_key))
    assert open_tls(None) is None
