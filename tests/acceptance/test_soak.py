"""Three minutes of `make soak`: every kind of poison, and every kind of fault that one broker allows."""

import os

import pytest

from stream_infer.errors import ServiceUnavailable
from tests.soak.apis import APIS
from tests.soak.faults import FAULTS
from tests.soak.items import SPECIES
from tests.soak.plan import Plan
from tests.soak.report import last_line, table
from tests.soak.run import run
from tests.support.services import missing

# What one broker, or a machine where nothing may be mounted, does not allow.
NOT_HERE = {"leader change", "S3 disk full"}
# A fault begins while the one before is still felt: otherwise they do not fit. The seed's order spreads those that keep
# Kafka away, or there would be a minute without it.
PLAN = Plan(
    seed=int(os.environ.get("SEED") or 20261123),
    items=640,
    duration=24.0,
    faults=len(FAULTS) - 1,
    brokers=1,
    every=2.0,
    patience=150.0,
    busy=None,
)


@pytest.mark.timeout(420)
def test_whatever_is_poisoned_and_whoever_is_hurt_every_item_ends_once_and_in_its_own_way() -> None:
    print(f"SEED={PLAN.seed}")
    try:
        outcome = run(PLAN, print)
    except ServiceUnavailable as error:
        missing(str(error))
    print(table(outcome))
    print(last_line(outcome))
    assert not outcome.findings
    for api in APIS:
        drawn = {item.kind for item in outcome.items if item.source.api is api}
        assert drawn >= {species.kind for species in SPECIES if species.on}
    assert set(outcome.not_injected) <= NOT_HERE
