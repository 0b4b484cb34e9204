"""`make bench`: every comparison in one run, and a last line of JSON."""

from __future__ import annotations

import argparse
import statistics

import orjson

from benchmarks.null_model import Load, compare


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=200_000)
    parser.add_argument("--size", type=int, default=100, help="bytes of one JSON item")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    load = Load(options.items, options.size)
    print(f"null model, {load.items:,} JSON items of {load.size} B, batches of 256, 4 partitions")
    result = compare(load, options.rounds, print)
    for name, rates in (("worker", result.worker), ("hand-written", result.handwritten)):
        print(f"{name:>14}: median {statistics.median(rates):>9,.0f}/s  ({min(rates):,.0f} to {max(rates):,.0f})")
    print(orjson.dumps({"vs_handwritten_tx": round(result.ratio, 2)}).decode())


if __name__ == "__main__":
    main()
