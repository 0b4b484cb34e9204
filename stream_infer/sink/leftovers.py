"""Job-less objects have no manifest: what a killed sink put and never committed has to go before anything is added."""

from __future__ import annotations

from collections.abc import Callable

import orjson
import structlog

from stream_infer.kafka.consumer import Partition
from stream_infer.ports import Store
from stream_infer.sink.names import pending_folder, read_name

log = structlog.get_logger(__name__)


def remove_leftovers(store: Store, partition: Partition, committed: int, is_ours: Callable[[], bool]) -> None:
    """Removes the partition's objects below `stream/` from the offset `committed` on. Raises ServiceUnavailable.

    Found by the notes that were put before them, since listing all of `stream/` grows with its age. The note goes last,
    so that a crash in between leaves nothing unseen. A predecessor that is not dead but slow may still put an object
    after this; it removes it itself when it learns that the partition is no longer its own.

    `is_ours` is asked once the notes are listed: a slow answer may hold those of the partition's next owner.
    """
    notes = list(store.list(pending_folder(*partition)))
    if not is_ours():
        return
    for note in notes:
        for key in _objects(store, note.key):
            name = read_name(key)
            if name is not None and name.offset >= committed and {"", ".", ".."}.isdisjoint(key.split("/")):
                store.delete(key)
                log.info("leftover_removed", key=key, committed=committed)
        store.delete(note.key)


def _objects(store: Store, note: str) -> list[str]:
    try:
        keys = orjson.loads(store.get(note))
    except (KeyError, ValueError):
        return []
    return [key for key in keys if isinstance(key, str) and key.startswith("stream/")] if isinstance(keys, list) else []
