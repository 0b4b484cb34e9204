"""`python -m tests.soak`: see docs/soak.md. Its last line is JSON; its exit status is 0 where nothing is off."""

import logging
import sys
import time

from stream_infer.errors import ServiceUnavailable
from tests.soak.plan import plan_of
from tests.soak.report import last_line, table
from tests.soak.run import run


def main() -> int:
    plan = plan_of()
    logging.getLogger("stream_infer").setLevel(logging.CRITICAL)  # our own clients, too, are told of each broker's end
    began = time.monotonic()

    def say(text: str) -> None:
        print(f"[{time.monotonic() - began:6.1f}] {text}", flush=True)

    print(f"SEED={plan.seed} ITEMS={plan.items} BROKERS={plan.brokers} DURATION={plan.duration:.0f}", flush=True)
    try:
        outcome = run(plan, say)
    except ServiceUnavailable as error:
        print(f"cannot run here: {error}", file=sys.stderr)
        return error.exit_code
    print()
    print(table(outcome))
    print(last_line(outcome))
    return 0 if outcome.is_well else 1


if __name__ == "__main__":
    sys.exit(main())
