"""Real pictures through a real model and a real Kafka, on this machine: `make demo`."""

from __future__ import annotations

import json
import os
import sys
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from examples.image_classifier.pictures import BROKEN, PICTURES, collect
from stream_infer.cli.following import follow
from stream_infer.clients import calls
from stream_infer.clients.gateway import Gateway
from stream_infer.gateway.representations import JobBody
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
    with everything_up(watch) as gateway, closing(Gateway(gateway)) as client, watch.lap("job"):
        job = run_job(client)
        results, failures = (
            by_name(client.lines(calls.results(job.job_id))),
            by_name(client.lines(calls.failures(job.job_id))),
        )
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


def run_job(client: Gateway) -> JobBody:
    """Submits the folder as `submit --wait` does."""
    console.print(
        f"$ stream-infer -f {CONFIG} submit {API} --dir {PICTURES_FOLDER} --wait", style="bold", soft_wrap=True
    )
    spec = {"directory": {"path": PICTURES_FOLDER.absolute().as_uri()}}
    return follow(client, client.ask(calls.submit(API, spec, uuid.uuid4().hex)).job_id, console)


def by_name(lines: Iterable[bytes]) -> dict[str, Any]:
    """The lines of a job's results or failures by the name of their file, which is an item's key."""
    return {line["key"]: line for line in map(json.loads, lines)}


def show(job: JobBody, results: dict[str, Any], failures: dict[str, Any]) -> None:
    table = Table("picture", "label", "score", "what else it may be")
    table.columns[2].justify = "right"
    for name, line in sorted(results.items()):
        best, *others = line["output"]["top"]
        table.add_row(name, best["label"], f"{best['score']:.2f}", ", ".join(other["label"] for other in others))
    console.print(table)
    rejected = Table("dead letter", "stage", "reason", style="red")
    for name, line in sorted(failures.items()):
        rejected.add_row(name, line["error"]["stage"], line["error"]["message"])
    console.print(rejected)
    console.print(
        f"The job ended as [bold]{job.state}[/]. Its results, manifest.json and _SUCCESS:\n  {job.results_uri}",
        soft_wrap=True,
    )
    program = f"{Path(sys.executable).parent / 'stream-infer'} -f {CONFIG}"
    commands = ["up", f"submit {API} --dir {PICTURES_FOLDER} --wait", f"results {job.job_id}", f"dlq ls {job.job_id}"]
    console.print("\nGo on by hand; the jobs and results of earlier runs are still there:", style="bold")
    for command in commands:
        console.print(f"  {program} {command}", soft_wrap=True)


def report_faults(job: JobBody, results: dict[str, Any], failures: dict[str, Any]) -> int:
    """0 where everything came out as it should."""
    folder = Path(job.results_uri.removeprefix("file://"))
    label = results.get("cat.png", {}).get("output", {}).get("label")
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
