"""From the `store` of a configuration to the store."""

from __future__ import annotations

from connectors.s3 import S3Access
from connectors.stores.directory import DirectoryStore
from connectors.stores.s3 import S3Store
from connectors.uris import RefusedPlace, path_of, redacted, s3_place_of, scheme_of
from stream_infer.errors import ConfigError, StreamInferError
from stream_infer.plugins import Group, load, names
from stream_infer.ports import Store


def open_store(uri: str, access: S3Access | None = None) -> Store:
    """The store at file:///absolute/path or s3://bucket/prefix, or a plugin's, found by its scheme.

    Connects to nothing yet. Raises ConfigError.
    """
    try:
        match scheme_of(uri):
            case "file":
                return DirectoryStore(path_of(uri))
            case "s3":
                place = s3_place_of(uri)
                return S3Store(place.bucket, place.key, access)
    except RefusedPlace as error:
        raise ConfigError(f"store: {error}") from None
    if scheme_of(uri) not in names(Group.STORES):
        raise ConfigError(
            f"store: {redacted(uri)} is neither file:///absolute/path nor s3://bucket/prefix, and no package here has "
            f"an entry point of {Group.STORES} that is named {scheme_of(uri)!r}"
        )
    return _plugin(uri)


def _plugin(uri: str) -> Store:
    scheme = scheme_of(uri)
    try:
        store: Store = load(Group.STORES, scheme)(uri)
    except StreamInferError:
        raise
    except Exception as error:
        said = f"{type(error).__name__}: {error}"
        raise ConfigError(f"store: the store plugin {scheme!r} refuses {redacted(uri)}: {said}") from error
    return store
