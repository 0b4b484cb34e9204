"""TLS of a server: its certificate, loaded again once it is renewed. Connections that are open keep theirs."""

from __future__ import annotations

import ssl

from stream_infer.errors import ConfigError
from stream_infer.http.reloading import Reloading
from stream_infer.security_settings import TlsSettings


def open_tls(tls: TlsSettings | None) -> Reloading[ssl.SSLContext] | None:
    """A server may listen with any context that was read: each handshake is by the last one. None: no TLS.

    Raises ConfigError.
    """
    if tls is None:
        return None

    def choose(connection: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        connection.context = reloading.value

    def read() -> ssl.SSLContext:
        # A new one each time: a context holds one certificate for each kind of key, so that one of an RSA key would
        # stay beside its successor of an elliptic one, and be shown to some after its end.
        context = _loaded(tls)
        context.sni_callback = choose  # OpenSSL asks it also where a client names no host
        return context

    reloading = Reloading("the certificate", [tls.certificate_file, tls.private_key_file], read)
    return reloading


def _loaded(tls: TlsSettings) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        # A password, or OpenSSL asks the terminal for that of an encrypted key.
        context.load_cert_chain(tls.certificate_file, tls.private_key_file, password="")  # nosec B106
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"gateway.tls: {tls.certificate_file} and {tls.private_key_file} cannot be used: {error}. The first has "
            "the certificate and those that lead to its root, the second its key without a password, both as PEM"
        ) from None
    return context
