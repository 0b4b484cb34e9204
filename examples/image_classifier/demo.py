"""Real pictures through a real model and a real Kafka, on this machine: `make demo`."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

import stream_infer
from examples.image_classifier.pictures import BROKEN, PICTURES, collect
from stream_infer.clients.client import Client
from stream_infer.clients.job import Job
from stream_infer.clients.progress import lines_on
from stream_infer.clients.rows import Failure, Result
from stream_infer.jobs.status import State
from stream_infer.local.free_ports import find_free, is_free
from stream_infer.local.leashed import LeashedProcess

API = "image-classifier"
CONFIG = Path("examples/image_classifier/stream-infer.yaml")
STATE = Path(".stream-infer/demo")
PICTURES_FOLDER = STATE / "pictures"
CATS = {"Egyptian cat", "tabby", "tiger cat"}

FIRST_START_S = 600.0  # the first one downloads Kafka
STOP_S = 75.0
LOOK_EVERY_S = 0.1

console = Console(highlight=False)


@dataclass
class Watch:
    """How long each part of the demo took, in seconds."""

    laps: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def lap(self, name: str) -> Iterator[None]:
        started = time.monotonic()
        yield
        self.laps[name] = time.monotonic() - started

    def __str__(self) -> str:
        parts = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in self.laps.items())
        return f"{sum(self.laps.values()):.1f} s: {parts}"


def main() -> int:
    os.chdir(Path(__file__).parents[2])
    watch = Watch()
    collect(PICTURES_FOLDER)
    console.print(f"{len(PICTURES)} pictures and {len(BROKEN)} broken files are in [bold]{PICTURES_FOLDER}[/]")
    with everything_up(watch) as gateway, stream_infer.client(gateway) as client, watch.lap("job"):
        job = run_job(client)
        # An item's key is the name of its file.
        results = {str(result.key): result for result in job.results()}
        failures = {str(failure.key): failure for failure in job.failures()}
    show(job, results, failures)
    console.print(f"\nNothing is left running. It took {watch}")
    return report_faults(job, results, failures)


@contextmanager
def everything_up(watch: Watch) -> Iterator[str]:
    """The gateway's URL, while `stream-infer up` serves."""
    port = 8080 if is_free(8080) else find_free(1)[0]
    ready, log = STATE / "ready.json", STATE / "up.log"
    for old in (ready, log):
        old.unlink(missing_ok=True)
    command = [sys.executable, "-m", "stream_infer", "up", "-f", str(CONFIG), "--ready-file", str(ready)]
    environment = {**os.environ, "STREAM_INFER__GATEWAY__LISTEN": f"127.0.0.1:{port}"}
    console.print(f"$ stream-infer up -f {CONFIG}", style="bold")
    with watch.lap("start"):
        up = LeashedProcess.start(command, output=log, grace_s=STOP_S, env=environment)
        try:
            where = wait_until_ready(up, ready, log)
        except BaseException:
            up.stop(STOP_S)
            raise
    try:
        console.print(f"Kafka and all roles are up at [bold]{where['gateway']}[/], their log is {log}", soft_wrap=True)
        yield where["gateway"]
    finally:
        with watch.lap("stop"):
            up.stop(STOP_S)


def wait_until_ready(up: LeashedProcess, ready: Path, log: Path) -> dict[str, Any]:
    deadline = time.monotonic() + FIRST_START_S
    with console.status("starting") as status:
        while not ready.exists():
            lines = log.read_text(errors="replace").splitlines()
            if up.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(
                    "\n".join([*lines[-30:], f"the demo could not start everything; all of its log: {log}"])
                )
            if lines and console.is_terminal:
                status.update(f"starting: {lines[-1][: console.width - 20]}")
            time.sleep(LOOK_EVERY_S)
    return dict(json.loads(ready.read_text()))


def run_job(client: Client) -> Job:
    """Submits the folder as `submit --wait` does."""
    console.print(
        f"$ stream-infer -f {CONFIG} submit {API} --dir {PICTURES_FOLDER} --wait", style="bold", soft_wrap=True
    )
    return client.submit(API, PICTURES_FOLDER).wait(progress=console.is_terminal or lines_on(console))


def show(job: Job, results: Mapping[str, Result], failures: Mapping[str, Failure]) -> None:
    table = Table("picture", "label", "score", "what else it may be")
    table.columns[2].justify = "right"
    for name, result in sorted(results.items()):
        best, *others = result.output["top"]
        table.add_row(name, best["label"], f"{best['score']:.2f}", ", ".join(other["label"] for other in others))
    console.print(table)
    rejected = Table("dead letter", "stage", "reason", style="red")
    for name, failure in sorted(failures.items()):
        rejected.add_row(name, failure.stage, failure.message)
    console.print(rejected)
    console.print(
        f"The job ended as [bold]{job.state}[/]. Its results, manifest.json and _SUCCESS:\n  {job.status.results_uri}",
        soft_wrap=True,
    )
    program = f"{Path(sys.executable).parent / 'stream-infer'} -f {CONFIG}"
    commands = ["up", f"submit {API} --dir {PICTURES_FOLDER} --wait", f"results {job.id}", f"dlq ls {job.id}"]
    console.print("\nGo on by hand; the jobs and results of earlier runs are still there:", style="bold")
    for command in commands:
        console.print(f"  {program} {command}", soft_wrap=True)


def report_faults(job: Job, results: Mapping[str, Result], failures: Mapping[str, Failure]) -> int:
    """0 where everything came out as it should."""
    folder = Path(job.status.results_uri.removeprefix("file://"))
    label = results["cat.png"].output["label"] if "cat.png" in results else None
    faults = {
        f"the job ended as {job.state}": job.state != State.COMPLETED_WITH_FAILURES,
        f"not every picture has a result: {sorted(results)}": set(results) != set(PICTURES),
        f"the dead letters are {sorted(failures)}": set(failures) != set(BROKEN),
        f"the cat is called {label!r}": label not in CATS,
        f"there is no _SUCCESS in {folder}": not (folder / "_SUCCESS").exists(),
        f"there is no manifest.json in {folder}": not (folder / "manifest.json").exists(),
    }
    for fault, is_one in faults.items():
        if is_one:
            console.print(f"[red]The demo has failed:[/] {fault}")
    return 1 if any(faults.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
