"""What the C library does with memory that was freed.

glibc gives the end of its heap back as soon as 128 KB of it are free, and asks for it again with the next payload.
Measured with items of 100 KB: the kernel, clearing those pages, took a third of the predictor's process.
"""

from __future__ import annotations

import ctypes
import sys

# From malloc.h.
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
# What glibc itself comes to, once a block of 32 MB has been freed.
_LARGEST_BLOCK = 32 << 20


def keep_freed_memory() -> None:
    """Keeps up to 64 MB of it for the next payloads. Does nothing where the C library is another."""
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _LARGEST_BLOCK)
        mallopt(_M_TRIM_THRESHOLD, 2 * _LARGEST_BLOCK)
