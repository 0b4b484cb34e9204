"""What may be fetched, and from where. Settings make it; fetchers and sources obey it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from connectors.uris import RefusedPlace, S3Place, redacted, s3_place_of
from stream_infer.errors import ConfigError


@dataclass(frozen=True, slots=True)
class FetchPolicy:
    """Limits on what an item's reference or a job's source may make this process read.

    `allowed_directories` are absolute; `allowed_s3_prefixes` read "s3://bucket" or "s3://bucket/prefix" and hold at a
    '/'. Empty means none. `timeout_s` and `max_bytes` bound one fetch, redirects included; `concurrency` is the number
    of files or objects read at a time. Raises ConfigError.
    """

    allowed_directories: tuple[Path, ...] = ()
    allowed_s3_prefixes: tuple[str, ...] = ()
    allow_private_addresses: bool = False
    timeout_s: float = 30.0
    max_bytes: int = 64 * 1024 * 1024
    max_redirects: int = 5
    concurrency: int = 32

    def __post_init__(self) -> None:
        for directory in self.allowed_directories:
            if not directory.is_absolute():
                raise ConfigError(f"fetch.allowed_directories: {directory} is not absolute; write the whole path")
        for prefix in self.allowed_s3_prefixes:
            try:
                s3_place_of(prefix)
            except RefusedPlace as error:
                raise ConfigError(f"fetch.allowed_s3_prefixes: {error}") from None

    def allows_s3(self, place: S3Place) -> bool:
        for allowed in map(s3_place_of, self.allowed_s3_prefixes):
            prefix = allowed.key.rstrip("/")
            below = not prefix or place.key == prefix or place.key.startswith(f"{prefix}/")
            if place.bucket == allowed.bucket and below:
                return True
        return False

    def check_s3(self, place: S3Place) -> None:
        """Raises RefusedPlace when `place` is below none of the allowed prefixes."""
        if self.allows_s3(place):
            return
        raise RefusedPlace(
            f"{redacted(place.uri)} is below none of the allowed prefixes ({_listed(self.allowed_s3_prefixes)}): "
            "add its prefix to fetch.allowed_s3_prefixes"
        )

    def allowed_root(self, real: Path) -> Path:
        """The allowed directory, symbolic links resolved, that `real` lies in or is. Raises RefusedPlace.

        `real` must have its own symbolic links resolved.
        """
        for directory in self.allowed_directories:
            root = Path(os.path.realpath(directory))
            if real.is_relative_to(root):
                return root
        raise RefusedPlace(
            f"{real} is below none of the allowed directories ({_listed(self.allowed_directories)}): "
            "add its directory to fetch.allowed_directories"
        )


def _listed(values: Sequence[object]) -> str:
    return ", ".join(str(value) for value in values) or "none"
