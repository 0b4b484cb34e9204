"""The key by which `up` knows the definitions that its own gateway has taken."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from stream_infer.errors import ConfigError

_KEY_BYTES = 32


def seal_key(state_dir: Path) -> Path:
    """Its file, which is made where it is not there yet; nobody but its owner can read it. Raises ConfigError."""
    file = state_dir / "apis" / "seal.key"
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        if not file.exists():
            part = file.with_name(f".{file.name}.{os.getpid()}")
            part.unlink(missing_ok=True)
            with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as made:
                made.write(secrets.token_bytes(_KEY_BYTES))
            part.replace(file)  # whole or not at all
    except OSError as error:
        raise ConfigError(
            f"{file} cannot be written: {error.strerror or error}; set state_dir to another place"
        ) from error
    return file
