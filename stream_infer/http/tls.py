"""TLS of a server: its certificate, loaded again once it is renewed. Connections that are open keep theirs."""

from __future__ import annotations

import ssl

from stream_infer.errors import ConfigError
from stream_infer.http.reloading import Reloading
from stream_infer.security_settings import TlsSettings


def open_tls(tls: TlsSettings | None) -> Reloading[ssl.SSLContext] | None:
    """The context that a server listens with, the same one for ever; None: no TLS. Raises ConfigError."""
    if tls is None:
        return None
    context = _context()

    def load() -> ssl.SSLContext:
        # Into another one first: a certificate that does not belong to its key would leave the context with half of
        # each, as between the two steps of a renewal.
        _load(_context(), tls)
        _load(context, tls)
        return context

    return Reloading("the certificate", [tls.certificate_file, tls.private_key_file], load)


def _context() -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _load(context: ssl.SSLContext, tls: TlsSettings) -> None:
    try:
        # A password, or OpenSSL asks the terminal for that of an encrypted key.
        context.load_cert_chain(tls.certificate_file, tls.private_key_file, password="")  # nosec B106
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"gateway.tls: {tls.certificate_file} and {tls.private_key_file} cannot be used: {error}. The first has "
            "the certificate and those that lead to its root, the second its key without a password, both as PEM"
        ) from None
