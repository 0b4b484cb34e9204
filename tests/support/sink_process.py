"""A sink in a process of its own, to be killed at a chosen put: `python -m tests.support.sink_process FILE`.

At each put of a key that contains `held`, the object is written, `reached` is touched, and the thread waits until
`release` is there: what has been uploaded by then is there, and nothing that needs this put can be committed.
"""

import json
import sys
import threading
import time
from pathlib import Path

from connectors.formats import jsonl
from connectors.stores import DirectoryStore, open_store
from stream_infer.settings import Settings
from stream_infer.sink.role import run


class HoldingStore(DirectoryStore):
    def __init__(self, root: Path, held: str, reached: Path, release: Path) -> None:
        super().__init__(root)
        self._held = held
        self._reached = reached
        self._release = release

    def put(self, key: str, data: bytes, content_type: str = "") -> None:
        super().put(key, data, content_type)
        if self._held in key:
            self._reached.touch()
            while not self._release.exists():
                time.sleep(0.01)


def main(file: Path) -> None:
    given = json.loads(file.read_text())
    settings = Settings.model_validate(given["settings"])
    root = Path(settings.store.removeprefix("file://"))
    store = HoldingStore(root, given["held"], Path(given["reached"]), Path(given["release"]))
    assert open_store(settings.store).uri("x") == store.uri("x")
    run(settings, store, jsonl, threading.Event(), lambda: None)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
