"""The code of an API that was deployed: from the store to a folder of this machine, once, and only what it is to be."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

from connectors.models.archive import Packed, unpack
from connectors.models.cache import Copy, keep
from stream_infer.errors import PredictorUnavailable

_NAME = "code"


def code_folder(sha256: str, fetch: Callable[[], bytes], cache: Path, max_bytes: int) -> Path:
    """The folder of what is in the archive that `fetch` brings, where it is not there yet.

    Raises PredictorUnavailable: it is not the archive that was deployed, or one that is refused (`models/archive.py`);
    and what `fetch` raises.
    """

    def make(new: Path) -> None:
        data = fetch()
        if hashlib.sha256(data).hexdigest() != sha256:
            raise PredictorUnavailable(f"the code in the store is not what was deployed as {sha256}: deploy it again")
        archive = new / "code.tar.gz"
        archive.write_bytes(data)
        unpack(Packed(archive, "the code", max_bytes, "keep data and models out of it"), new / _NAME)
        archive.unlink()

    return keep(cache, Copy(f"code {sha256}", sha256, _NAME), make)
