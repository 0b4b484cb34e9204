"""The search for a batch size, over the lives of the children that try sizes. Pure."""

from __future__ import annotations

from stream_infer.engine.policy import EnginePolicy
from stream_infer.engine.tuning import TuningLimits

# What it may take: real items may be larger than the example, and loading takes time as well.
_OF_CALL_TIMEOUT, _OF_LOAD_TIMEOUT = 0.25, 0.25


class SizeSearch:
    """`found`: the size, once a child has told it. The children after that one are not asked to search again."""

    def __init__(self, policy: EnginePolicy) -> None:
        self._policy = policy
        self._most = policy.max_batch_size
        self._tried = 0
        self.found: int | None = None

    def limits(self) -> TuningLimits | None:
        """For a child that is started now; None: it has nothing to search."""
        self._tried = 0
        if not self._policy.finds_batch_size or self.found is not None:
            return None
        longest_s = self._policy.call_timeout_s * _OF_CALL_TIMEOUT
        return TuningLimits(self._most, longest_s, self._policy.load_timeout_s * _OF_LOAD_TIMEOUT)

    def tries(self, size: int) -> None:
        self._tried = size

    def finds(self, size: int | None) -> None:
        if size is not None:
            self.found = size

    def dies(self) -> int:
        """The child ended before it was ready. Its size, if that is to blame: the next one tries half of it at most."""
        tried, self._tried = self._tried, 0
        if tried <= 1:
            return 0
        self._most = tried // 2
        return tried
