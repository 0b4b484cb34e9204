"""Which gateway is meant, and with whose key, where a program or a command does not say."""

from __future__ import annotations

import os
from collections.abc import Mapping

URL_VARIABLE = "STREAM_INFER_GATEWAY"
KEY_VARIABLE = "STREAM_INFER_API_KEY"
DEFAULT_URL = "http://127.0.0.1:8080"


def place(url: str | None, api_key: str | None, environ: Mapping[str, str] | None = None) -> tuple[str, str | None]:
    """The gateway's address and the key: as given, else as the environment says."""
    said = os.environ if environ is None else environ
    key = said.get(KEY_VARIABLE, "").strip() if api_key is None else api_key.strip()
    return url or said.get(URL_VARIABLE, "").strip() or DEFAULT_URL, key or None
