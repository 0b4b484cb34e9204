"""For the image's HEALTHCHECK: does the role in this container answer? Needs nothing but Python's own library."""

from __future__ import annotations

import os
import ssl
import sys
import urllib.request

_WITHIN_S = 4.0


def main() -> int:
    """0 where `/healthz` on HEALTH_PORT (9400) answers 200. HEALTH_SCHEME is https for a gateway with TLS."""
    port, scheme = os.environ.get("HEALTH_PORT", "9400"), os.environ.get("HEALTH_SCHEME", "http")
    url = f"{scheme}://127.0.0.1:{port}/healthz"
    try:
        with urllib.request.urlopen(url, timeout=_WITHIN_S, context=_unverified()) as answer:  # noqa: S310 - our own
            return 0 if answer.status == 200 else 1
    except OSError as error:
        sys.stderr.write(f"{url}: {error}\n")
        return 1


def _unverified() -> ssl.SSLContext:
    """No certificate names the loopback address, and nothing is told to whoever answers there."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


if __name__ == "__main__":
    sys.exit(main())
