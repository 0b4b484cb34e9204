"""What a page shows is done: its files written, its commands run, and what it says they print compared.

Comments that nobody sees say what each block is:

    <!-- file: NAME -->          the next block is that file
    <!-- run -->                 its lines are run by bash, one after the other; each has to end with 0
    <!-- run, status N -->       the last one with N
    <!-- start, until: WORDS --> its line is started, and goes on; WORDS come in its output
    <!-- interrupt -->           Ctrl-C to what was started
    <!-- prints -->              its lines are in what was printed before, in this order; `…` is anything
    <!-- not run: WHY -->        a block that is for people alone
"""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.support.up_process import wait_for

ROOT = Path(__file__).parents[2]
COMMAND_S = 120.0
START_S = 90.0
END_S = 60.0
_STEP = re.compile(
    r"^<!-- (?P<what>file|run|start|interrupt|prints|not run)"
    r"(?:, status (?P<status>\d+)|(?:, until)?: (?P<words>[^\n]+?))? -->\n"
    r"(?:\n*(?:```\w*\n(?P<fenced>.*?)^```|(?P<indented>(?:^    [^\n]*\n|^\n(?=    ))+)))?",
    re.MULTILINE | re.DOTALL,
)
_JOB = re.compile(r"\b[0-9a-f]{24}\b")
_REF = re.compile(r"^(\d+-\d+) ", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Step:
    what: str
    words: str
    status: int
    block: str


def steps(page: str) -> list[Step]:
    return [
        Step(found["what"], found["words"] or "", int(found["status"] or 0), _block(found))
        for found in _STEP.finditer(page)
    ]


def _block(found: re.Match[str]) -> str:
    if found["fenced"] is not None:
        return found["fenced"]
    return re.sub(r"^    ", "", found["indented"] or "", flags=re.MULTILINE)


class Reader:
    """Somebody who does what a page shows, in a folder. `instead`: what stands on this machine for what is shown."""

    def __init__(self, folder: Path, instead: Mapping[str, str]) -> None:
        self._folder = folder
        self._instead = dict(instead)
        self._printed = ""
        self._job = ""
        self._ref = ""
        self._running: subprocess.Popen[bytes] | None = None
        self._environment = {**os.environ, "PATH": f"{_programs(folder)}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}

    def follow(self, page: str) -> None:
        for step in steps(page):
            match step.what:
                case "file":
                    (self._folder / step.words).write_text(self._meant(step.block))
                case "run":
                    self._run(step)
                case "start":
                    self._start(step)
                case "interrupt":
                    self.interrupt()
                case "prints":
                    assert_printed(step.block, self._printed)

    def interrupt(self) -> None:
        assert self._running is not None
        self._running.send_signal(signal.SIGINT)
        assert self._running.wait(END_S) == 0, self._output.read_text()

    def end(self) -> None:
        """Whatever still runs; the leashes of what it has started end the rest."""
        if self._running is not None:
            self._running.kill()
            self._running.wait()

    @property
    def _output(self) -> Path:
        return self._folder / "started.log"

    def _run(self, step: Step) -> None:
        """Each line by itself: a page's next line needs what the one before has printed."""
        self._printed = ""
        lines = [line for line in step.block.replace("\\\n", " ").splitlines() if line.strip()]
        for line in lines:
            meant = self._meant(line)
            done = subprocess.run(
                ["bash", "-c", meant],
                cwd=self._folder, env=self._environment, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                timeout=COMMAND_S, check=False,
            )  # fmt: skip
            wanted = step.status if line is lines[-1] else 0
            assert done.returncode == wanted, f"{meant}\nended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
            assert "Traceback" not in done.stderr, done.stderr
            self._printed += done.stdout
            if "submit" in meant or "curl" in meant:
                self._job = (_JOB.findall(done.stdout) or [self._job])[0]
            self._ref = (_REF.findall(done.stdout) or [self._ref])[0]

    def _start(self, step: Step) -> None:
        with self._output.open("wb") as output:
            self._running = subprocess.Popen(
                ["bash", "-c", f"exec {self._meant(step.block)}"],
                cwd=self._folder, env=self._environment, stdin=subprocess.DEVNULL, stdout=output,
                stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        started = self._running
        wait_for(
            lambda: step.words in self._output.read_text(),
            START_S,
            self._output.read_text,
            lambda: started.poll() is None,
        )
        found = wait_for(
            lambda: re.search(r"kafka +(\d\S+:\d+)", self._output.read_text()), 60.0, self._output.read_text
        )
        self._instead["127.0.0.1:9092"] = found[1]

    def _meant(self, text: str) -> str:
        for shown, here in {**self._instead, "JOB": self._job, "REF": self._ref}.items():
            if here:
                text = re.sub(rf"(?<![\w.]){re.escape(shown)}(?![\w])", here, text)
        return text


def assert_printed(shown: str, printed: str) -> None:
    """Ids differ from one reader to the next, and so do blanks."""
    lines = [_pattern(line) for line in shown.splitlines() if line.strip() not in ("", "…")]
    assert re.search(r".*?".join(lines), _one_id(printed), re.DOTALL), f"{shown}\nis not what was printed:\n{printed}"


def _pattern(line: str) -> str:
    parts = [r"\s+".join(re.escape(word) for word in part.split(" ") if word) for part in _one_id(line).split("…")]
    return "[^\n]*?".join(parts)


def _one_id(text: str) -> str:
    return _JOB.sub("JOB", text)


def _programs(folder: Path) -> Path:
    """A folder with `stream-infer` and `python` as the reader has them on the PATH."""
    programs = folder / "programs"
    programs.mkdir(exist_ok=True)
    for name, command in {"stream-infer": f"{sys.executable} -m stream_infer", "python": sys.executable}.items():
        (programs / name).write_text(f'#!/bin/sh\nexec {command} "$@"\n')
        (programs / name).chmod(0o755)
    return programs
