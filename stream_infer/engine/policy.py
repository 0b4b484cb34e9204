"""How the engine batches, how long it waits, and when it gives up."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from stream_infer.engine.cost import Length


@dataclass(frozen=True, slots=True)
class EnginePolicy:
    """Times are in seconds, sizes in bytes of payload.

    `finds_batch_size`: the child tries which size serves before it is ready, up to `max_batch_size`.
    `length` of a payload makes items that are about as long share a micro-batch; its longest times how many it has are
    at most `max_batch_cost`, but for an item that is alone.
    `call_timeout_s` bounds one predict call and, apart from it, what prepares its micro-batch; `hook_timeout_s`
    one `on_job_complete`; `load_timeout_s` what makes the predictor, or its instance for a job. Of the latter
    `load_attempts` are made, `load_delays_s` apart, the last delay standing for all further ones. `heartbeat_timeout_s`
    bounds the silence of a loaded child: one that is stopped, or whose native code keeps the GIL for longer, is
    replaced. `pipeline_depth`: micro-batches in the child at a time, the one in the model included. A child that dies
    without an item to blame is started again after `restart_delay_s`, doubling up to `restart_delay_cap_s`. When memory
    has run out, smaller micro-batches are made for `oom_cap_s`, and again for each step back to the full size. Where a
    cgroup limits memory, the child is ended when `memory_fraction` of the limit is in use, which is looked up every
    `memory_check_s`, and more often when it comes near.
    """

    max_batch_size: int = 32
    finds_batch_size: bool = False
    length: Length | None = None
    max_batch_cost: float = math.inf
    max_batch_bytes: int = 32 * 1024 * 1024
    max_wait_s: float = 0.02
    call_timeout_s: float = 120.0
    hook_timeout_s: float = 600.0
    load_timeout_s: float = 300.0
    load_attempts: int = 1
    load_delays_s: Sequence[float] = (5.0,)
    heartbeat_timeout_s: float = 30.0
    terminate_timeout_s: float = 5.0
    restart_delay_s: float = 0.5
    restart_delay_cap_s: float = 30.0
    preprocess_threads: int = 4
    pipeline_depth: int = 2
    oom_cap_s: float = 60.0
    memory_fraction: float = 0.9
    memory_check_s: float = 0.05
