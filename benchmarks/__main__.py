"""`make bench`: everything side by side in one run, and a last line of JSON.

python -m benchmarks [null|latency|model|decoders|batching|growth|scale|start|realtime|all|guard]
                     [--items N] [--rounds N] [--size BYTES ...]
"""

from __future__ import annotations

import argparse
import importlib.util
import logging
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import structlog

from benchmarks import batching, growth, guard, intake_scale, latency, model, null_model, realtime, scale, start
from benchmarks.bench import Bench, open_bench
from benchmarks.observer import Unfinished
from benchmarks.plot import Results, draw
from benchmarks.report import Summary

_PLOT = Path(__file__).parents[1] / "docs" / "performance.png"
_ROUNDS = 3


class Part(Protocol):
    def text(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Options:
    """None: the part's own number."""

    part: str
    items: int | None
    rounds: int | None
    sizes: list[int]
    only: list[str]
    plot: Path | None


def main() -> int:
    options = _options()
    _quieten()
    results, summary = Results(), Summary()
    began = time.monotonic()
    status = 0
    if options.part == "realtime":  # it needs no broker
        print(f"\n{_realtime(options, results).text()}\n", flush=True)
        return _end(options, results, summary, began, status)
    with open_bench() as bench:
        _say("warming the broker up: its just-in-time compiler takes a core")
        null_model.warm_up(bench)
        _say(f"broker and store write {'into memory, ' if bench.is_in_memory else ''}below {bench.folder.parent}")
        if options.part == "guard":
            return _guard(bench, options)
        for name, measure in _parts(bench, options, results).items():
            if options.part not in (name, "all"):
                continue
            try:
                part = measure()
            except Unfinished as error:
                print(error, file=sys.stderr)
                status = 1
            else:
                print(f"\n{part.text()}\n", flush=True)
    return _end(options, results, summary, began, status)


def _end(options: Options, results: Results, summary: Summary, began: float, status: int) -> int:
    results.summarise(summary)
    if options.plot is not None:
        draw(results, options.plot)
        _say(f"plotted into {options.plot}")
    _say(f"it took {(time.monotonic() - began) / 60:.1f} minutes")
    print(summary.line())
    return status


def _parts(bench: Bench, options: Options, results: Results) -> dict[str, Callable[[], Part]]:
    """In the order of `all`; what is drawn or summed up goes into `results`."""
    rounds = options.rounds or _ROUNDS

    def null() -> Part:
        items = options.items or null_model.ITEMS
        results.null = null_model.measure(bench, options.sizes, items, rounds, _say, options.only)
        return results.null

    def delays() -> Part:
        results.latency = latency.measure(bench, options.items or latency.ITEMS, rounds, _say)
        return results.latency

    def images() -> Part:
        results.model = model.measure(bench, options.items or model.IMAGES, rounds, _say)
        return results.model

    def decoded() -> Part:
        from benchmarks import decoders  # imports torch, which the others need not wait for

        return decoders.measure(bench, options.items or decoders.PICTURES, rounds, _say)

    def batches() -> Part:
        # Two rounds: each size loads the model anew.
        results.batching = batching.measure(bench, options.items or batching.IMAGES, options.rounds or 2, _say)
        return results.batching

    def grown() -> Part:
        results.growth = growth.measure(bench, options.items or growth.ITEMS, options.rounds or 1, _say)
        return results.growth

    def scaled() -> Part:
        return scale.measure(bench, options.items or intake_scale.LINES, rounds, _say)

    def begun() -> Part:
        return start.measure(bench, rounds, _say)

    def asked() -> Part:
        return _realtime(options, results)

    return {
        "null": null,
        "latency": delays,
        "model": images,
        "decoders": decoded,
        "batching": batches,
        "growth": grown,
        "scale": scaled,
        "start": begun,
        "realtime": asked,
    }


def _realtime(options: Options, results: Results) -> realtime.RealtimeResult:
    with tempfile.TemporaryDirectory(prefix="stream-infer-bench-") as folder:
        # Two rounds: each starts five servers for each model.
        found = realtime.measure(Path(folder), realtime.SECONDS, options.rounds or 2, _say, options.only)
    results.realtime = found
    return found


def _guard(bench: Bench, options: Options) -> int:
    try:
        result = guard.run(bench, options.items or guard.ITEMS, options.rounds or guard.ROUNDS, _say)
    except Unfinished as error:
        print(error, file=sys.stderr)
        return 1
    print(f"\n{result.text()}\n")
    fault = guard.verdict(result)
    summary = Summary()
    result.summarise(summary)
    if fault is not None:
        print(fault, file=sys.stderr)
    print(summary.line())
    return 0 if fault is None else 1


def _options() -> Options:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = ["null", "latency", "model", "decoders", "batching", "growth", "scale", "start", "realtime", "all", "guard"]
    parser.add_argument("part", nargs="?", choices=parts, default="all")
    parser.add_argument(
        "--items", type=int, help="of one part: items of a run, images, the longest of growth, lines of scale"
    )
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--size", type=int, action="append", help="null: bytes of one JSON item; may be repeated")
    parser.add_argument(
        "--only", action="append", default=[], help="null, realtime: part of a contestant's name; repeatable"
    )
    parser.add_argument("--plot", type=Path, help="where to (with `all` docs/performance.png)")
    given = parser.parse_args()
    if given.items is not None and given.part == "all":
        parser.error("--items is for one part: images and JSON items are not counted alike")
    only = [part.lower() for part in given.only]
    plot = given.plot or (_PLOT if given.part == "all" else None)
    if plot is not None and importlib.util.find_spec("matplotlib") is None:
        parser.error("the plot needs matplotlib: run make setup")
    return Options(given.part, given.items, given.rounds, given.size or list(null_model.SIZES), only, plot)


def _quieten() -> None:
    """What our own clients say about a broker that has just been started is not part of a report."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    logging.getLogger("stream_infer.kafka").addHandler(logging.NullHandler())


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
