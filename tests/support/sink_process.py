"""A sink in a process of its own, to be killed at a chosen put: `python -m tests.support.sink_process FILE`.

At each put of a key that contains `held`, the object is written, `reached` is touched, and the thread waits until
`release` is there: what has been uploaded by then is there, and nothing that needs this put can be committed.
Without `held` the sink is as it is; like the real command, it ends on SIGTERM, and `ready` is touched once it serves.
"""

import json
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

from connectors.formats import jsonl, object_formats
from connectors.stores import DirectoryStore, open_store
from stream_infer.ports import Store
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


def _store(settings: Settings, given: dict[str, Any]) -> Store:
    store = open_store(settings.store)
    if "held" not in given:
        return store
    root = Path(settings.store.removeprefix("file://"))
    holding = HoldingStore(root, given["held"], Path(given["reached"]), Path(given["release"]))
    assert store.uri("x") == holding.uri("x")
    return holding


def main(file: Path) -> None:
    given = json.loads(file.read_text())
    settings = Settings.model_validate(given["settings"])
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    ready = Path(given.get("ready", file.with_suffix(".ready"))).touch
    run(settings, _store(settings, given), jsonl, stop, ready, formats=object_formats())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
