"""A sink in a process of its own, to be killed at a chosen put: `python -m tests.support.sink_process FILE`.

At the first put of a key that contains `held`, the object is written, `reached` is touched, and the thread waits for
ever: what has been uploaded by then is there, and nothing that needs this put can be committed.
"""

import json
import sys
import threading
from pathlib import Path

from connectors.formats import jsonl
from connectors.stores import DirectoryStore, open_store
from stream_infer.settings import Settings
from stream_infer.sink.role import run


class HoldingStore(DirectoryStore):
    def __init__(self, root: Path, held: str, reached: Path) -> None:
        super().__init__(root)
        self._held = held
        self._reached = reached

    def put(self, key: str, data: bytes, content_type: str = "") -> None:
        super().put(key, data, content_type)
        if self._held in key:
            self._reached.touch()
            threading.Event().wait()


def main(file: Path) -> None:
    given = json.loads(file.read_text())
    settings = Settings.model_validate(given["settings"])
    store = HoldingStore(Path(settings.store.removeprefix("file://")), given["held"], Path(given["reached"]))
    assert open_store(settings.store).uri("x") == store.uri("x")
    run(settings, store, jsonl, threading.Event(), lambda: None)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
