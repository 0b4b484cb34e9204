"""From the `store` of a configuration to the store."""

from __future__ import annotations

from connectors.s3 import S3Access
from connectors.stores.directory import DirectoryStore
from connectors.stores.s3 import S3Store
from connectors.uris import RefusedPlace, path_of, redacted, s3_place_of, scheme_of
from stream_infer.errors import ConfigError
from stream_infer.ports import Store


def open_store(uri: str, access: S3Access | None = None) -> Store:
    """The store at file:///absolute/path or s3://bucket/prefix. Connects to nothing yet. Raises ConfigError."""
    try:
        match scheme_of(uri):
            case "file":
                return DirectoryStore(path_of(uri))
            case "s3":
                place = s3_place_of(uri)
                return S3Store(place.bucket, place.key, access)
    except RefusedPlace as error:
        raise ConfigError(f"store: {error}") from None
    raise ConfigError(f"store: {redacted(uri)} is neither file:///absolute/path nor s3://bucket/prefix")
