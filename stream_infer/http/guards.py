"""What a server is guarded by: the keys that it asks for, and its certificate."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from stream_infer.http.keys import KeyRing
from stream_infer.http.reloading import Reloading


@dataclass(frozen=True, slots=True)
class Guards:
    """None: nobody is asked for a key; nothing is encrypted."""

    keys: Reloading[KeyRing] | None = None
    tls: Reloading[ssl.SSLContext] | None = None

    @property
    def number_of_keys(self) -> int | None:
        return None if self.keys is None else len(self.keys.value)

    @property
    def context(self) -> ssl.SSLContext | None:
        return None if self.tls is None else self.tls.value

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        """Both are read again when they change, until the block ends."""
        async with AsyncExitStack() as stack:
            for one in (self.keys, self.tls):
                if one is not None:
                    await stack.enter_async_context(one.watched())
            yield
