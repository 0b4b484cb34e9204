"""What the worker's loop does with what its group says."""

import pytest

from stream_infer.records import Output
from tests.support.worker_bench import TOPICS, WorkerBench


@pytest.mark.parametrize(("member", "transactions"), [(True, 1), (False, 0)])
def test_nothing_is_committed_in_the_name_of_a_member_that_was_expelled(member: bool, transactions: int) -> None:
    bench = WorkerBench(Output)
    bench.consumer.is_member = lambda: member  # type: ignore[method-assign]
    bench.feed(b"1")

    bench.run()

    assert bench.producer.offsets == ({(TOPICS.items, 0): 1} if member else {})
    assert bench.ledger.held == 1 - transactions
