"""What the key of an object may look like: the same for every store, so that a store can be exchanged."""

from __future__ import annotations

MAX_KEY_BYTES = 1024
MAX_PART_BYTES = 240
# The directory store keeps what is not whole yet under this name.
UNCOMMITTED = ".uncommitted"


def checked_key(key: str) -> str:
    """`key` itself. Raises ValueError when it could lead outside the store or exist in one kind of store only."""
    parts = checked_prefix(key).split("/")
    if "" in parts:
        raise ValueError(f"{key!r} is no key of a store: it is empty, or has an empty part between its slashes")
    return key


def checked_prefix(prefix: str) -> str:
    """`prefix` itself, which unlike a key may be empty and may end anywhere. Raises ValueError."""
    try:
        encoded = prefix.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{prefix!r} is no key of a store: it is not Unicode") from None
    parts = prefix.split("/")
    if prefix.startswith("/") or not {".", ".."}.isdisjoint(parts) or parts[0] == UNCOMMITTED:
        raise ValueError(f"{prefix!r} is no key of a store: it leads outside, or to what is not committed")
    if any(character < " " or character == "\x7f" for character in prefix):
        raise ValueError(f"{prefix!r} is no key of a store: it has control characters")
    if len(encoded) > MAX_KEY_BYTES or any(len(part.encode()) > MAX_PART_BYTES for part in parts):
        raise ValueError(
            f"{prefix[:80]!r}… is no key of a store: more than {MAX_KEY_BYTES} bytes, "
            f"or more than {MAX_PART_BYTES} between slashes"
        )
    return prefix
