"""A store: `store: shelf://name/prefix` lies where the environment says that shelves are.

It builds on the directory that stream-infer has. One of its own has the methods of `stream_infer.ports.Store`.
"""

import os
from pathlib import Path
from urllib.parse import urlsplit

from connectors.stores import DirectoryStore


class ShelfStore(DirectoryStore):
    def __init__(self, shelf: str, folder: Path) -> None:
        super().__init__(folder)
        self._shelf = shelf

    def uri(self, key: str) -> str:
        return f"{self._shelf}/{key}"


def open_shelf(uri: str) -> ShelfStore:
    parts = urlsplit(uri)
    return ShelfStore(uri.rstrip("/"), Path(os.environ["SHELVES"], parts.netloc, parts.path.strip("/")))
