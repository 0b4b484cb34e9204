"""What the C library does with freed memory, seen from outside: each in a process of its own."""

import json
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="glibc's mallopt is what this is about")

# 200 MiB, a small block behind it, and the first freed: what is at the top of the heap is never all.
_PROGRAM = """
import ctypes, json, sys
from stream_infer import heap
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_size_t], [ctypes.c_void_p]

def resident():
    return int(open("/proc/self/statm").read().split()[1]) >> 8

getattr(heap, sys.argv[1])()
before = resident()
large = libc.malloc(200 << 20)
ctypes.memset(large, 1, 200 << 20)
small = libc.malloc(60_000)
libc.free(large)
freed = resident() - before
heap.give_back_now()
print(json.dumps([freed, resident() - before]))
"""


def mib_left(how):
    """Resident MiB more than before, after the block was freed, and after all was given back."""
    done = subprocess.run([sys.executable, "-c", _PROGRAM, how], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_a_large_block_goes_back_to_the_kernel_where_nothing_is_said_of_large_blocks():
    assert mib_left("keep_freed_memory")[0] < 20
    assert mib_left("give_back_freed_memory")[0] < 20


def test_a_large_block_is_kept_for_the_next_one_until_it_is_asked_for():
    kept, left = mib_left("keep_large_blocks")

    assert kept > 190
    assert left < 20
