"""Programs that use the client, as they are started, against a running `up`: each is a process of its own."""

import base64
import csv
import hashlib
import io
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.up_process import ROOT, UpProcess, up_in

Program = Callable[..., list[Any]]
PROGRAM_S = 300.0

SUBMITS = """
import json
from pathlib import Path
import pandas as pd
import stream_infer
from stream_infer.clients.errors import JobIncomplete

def tell(value):
    print(json.dumps(value, default=str))

with stream_infer.client() as client:
    job = client.submit("echo", [{"n": 1}, {"n": 2}], config={"run": "first"}).wait(timeout=120)
    tell([result.output for result in job.require_success().results()])
    many = client.submit("echo", ({"n": n} for n in range(12_000))).wait(timeout=120)
    tell([many.counts.succeeded, sum(result.output["n"] for result in many.results())])
    frame = pd.DataFrame({"x": [0.5, 1.5], "name": ["a", "b"]})
    table = client.submit("echo", frame).wait(timeout=120).results().to_dataframe()
    tell(table[["output.x", "output.name"]].values.tolist())
    folder = Path("pictures")
    sent = client.submit("echo", folder, includes=["*.bin"]).wait(timeout=120)
    saved = sent.results().download("out")
    tell([sent.counts.succeeded, sorted(path.name for path in saved.parent.iterdir())])
    failing = client.submit("mending", [{"fail": True}, {"fail": False}]).wait(timeout=120)
    tell([str(failing.state), [failure.exception for failure in failing.failures()]])
    try:
        failing.require_success()
    except JobIncomplete as error:
        tell(error.exit_code)
    tell(failing.id in [each.id for each in client.jobs(api="mending")])
    tell(any("first" in line.line or line.role for line in job.logs(follow=True)))
    stopped = client.submit("echo", [1]).stop()
    tell(str(stopped.wait(timeout=120).state) in ("stopped", "succeeded"))
"""

DEPLOYS = """
import json
import sys
import greeter
import stream_infer
from stream_infer.clients.errors import ApiFailed, Conflict, UnknownApi

GREETING = "hello"

def greet(name):
    return f"{greeter.polite(GREETING)} {name}"

class Greeter:
    def __init__(self, config):
        self.end = config.get("end", ".")

    def predict(self, items):
        print("greets", len(items))
        return [greet(item["name"]) + self.end for item in items]

class Broken:
    def __init__(self, config):
        pass

def tell(value):
    print(json.dumps(value, default=str))

with stream_infer.client() as client:
    spec = {"name": "greeter", "partitions": 1, "batching": {"max_batch_size": 2, "max_wait_ms": 2000}}
    info = client.create_api(spec, predictor=Greeter, requirements=[sys.argv[1]], timeout=240)
    tell([str(info.state), info["endpoint"] == f"{client.url}/greeter", info["deployed"]])
    revision = info["revision"]
    job = client.submit("greeter", [{"name": "Ann"}, {"name": "Bo"}]).wait(timeout=120)
    tell([result.output for result in job.results()])
    tell([line.line for line in job.logs() if line.source == "predictor"][:1])
    tell(client.create_api(spec, predictor=Greeter, requirements=[sys.argv[1]])["revision"] == revision)
    changed = client.patch("greeter", {"predictor": {"config": {"end": "!"}}}, timeout=240)
    job = client.submit("greeter", [{"name": "Cy"}]).wait(timeout=120)
    tell([result.output for result in job.results()])
    try:
        client.create_api({"name": "broken"}, predictor=Broken, timeout=240)
    except ApiFailed as error:
        tell("predict" in str(error))
    tell(sorted(api.name for api in client.list_apis() if api["deployed"]))
    for name in ("greeter", "broken"):
        client.delete_api(name, force=True)
    try:
        client.get_api("greeter")
    except UnknownApi as error:
        tell(error.exit_code)
"""

NOTEBOOK = """
import json, stream_infer
FACTOR = 3
class Times:
    def __init__(self, config): pass
    def predict(self, items): return [FACTOR * item for item in items]
client = stream_infer.client()
client.create_api({"name": "times"}, predictor=Times, timeout=240)
job = client.submit("times", [1, 2]).wait(timeout=120)
print(json.dumps([result.output for result in job.results()]))
client.delete_api("times", force=True)
client.close()
"""

COROUTINES = """
import asyncio, json, stream_infer

async def numbers():
    for n in range(100):
        yield n

async def main():
    async with stream_infer.async_client() as client:
        jobs = await asyncio.gather(*(client.submit("echo", [n]) for n in range(3)), client.submit("echo", numbers()))
        await asyncio.gather(*(job.wait(timeout=120) for job in jobs))
        print(json.dumps([[result.output async for result in job.results()] for job in jobs[:3]]))
        print(json.dumps(jobs[3].counts.succeeded))

asyncio.run(main())
"""

# In the shape of Cortex's own tutorial of the BatchAPI; the import is all that is ours.
TUTORIAL = """
import json
import os
import time

import requests
from stream_infer.compat import cortex


class PythonPredictor:
    def __init__(self, config, job_spec):
        self.labels = config["labels"]
        self.folder = os.path.join(config["dest"], job_spec["job_id"])
        os.makedirs(self.folder, exist_ok=True)

    def predict(self, payload, batch_id):
        found = [{"text": text, "label": self.labels[len(text) % 2]} for text in payload]
        with open(os.path.join(self.folder, f"{batch_id}.json"), "w") as file:
            json.dump(found, file)

    def on_job_complete(self):
        with open(os.path.join(self.folder, "done"), "w") as file:
            file.write("all batches are")


api_spec = {
    "name": "classifier",
    "kind": "BatchAPI",
    "predictor": {"type": "python", "config": {"labels": ["even", "odd"]}},
    "compute": {"cpu": 1},
}
requirements = []

cx = cortex.client("aws")
cx.create_api(api_spec, predictor=PythonPredictor, requirements=requirements)

batch_endpoint = cx.get_api("classifier")["endpoint"]
job_spec = {
    "workers": 1,
    "item_list": {"items": ["a", "bb", "ccc", "dddd", "eeeee"], "batch_size": 2},
    "config": {"dest": os.path.abspath("results")},
}
response = requests.post(batch_endpoint, json=job_spec)
job_id = response.json()["job_id"]

job = cx.get_job("classifier", job_id)
while job["job_status"]["status"] in ("enqueuing", "running"):
    time.sleep(0.2)
    job = cx.get_job("classifier", job_id)

print(json.dumps(job["job_status"]["status"]))
print(json.dumps(job_id))
print(json.dumps([api["spec"]["name"] for api in cx.list_apis()]))
cx.patch({"name": "classifier", "kind": "BatchAPI", "predictor": {"config": {"labels": ["gerade", "ungerade"]}}})
cx.refresh("classifier")
second = requests.post(batch_endpoint, json=job_spec).json()["job_id"]
cx.stop_job("classifier", second)
cx.delete_api("classifier")
print(json.dumps(requests.get(batch_endpoint, params={"jobID": job_id}).status_code))
"""


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[UpProcess]:
    from tests.support.settings import predictor
    from tests.support.up_process import write_config

    folder = tmp_path_factory.mktemp("client")
    apis = [
        {"name": "echo", "predictor": predictor("behaving.py:Echo"), "partitions": 2},
        {"name": "mending", "predictor": {"type": "native", "target": str(failing(folder))}, "partitions": 2,
         "retry": {"max_attempts": 1}},
    ]  # fmt: skip
    with up_in(folder, write_config(folder, apis=apis)) as up:
        up.wait_until_ready()
        yield up


def failing(folder: Path) -> str:
    file = folder / "failing.py"
    file.write_text(
        "class Failing:\n"
        "    def __init__(self, config): pass\n"
        "    def predict(self, items):\n"
        "        return [KeyError('fail') if item['fail'] else item for item in items]\n"
    )
    return f"{file}:Failing"


@pytest.fixture
def program(up: UpProcess, tmp_path: Path) -> Program:
    """Runs a program beside `up`, and answers what it printed, a JSON value a line."""
    gateway = up.wait_until_ready()["gateway"]

    def run(text: str, *arguments: str, typed: bool = False, **environ: str) -> list[Any]:
        (tmp_path / "program.py").write_text(text)
        command = [sys.executable, *(["-"] if typed else ["program.py"]), *arguments]
        path = os.pathsep.join([str(ROOT), environ.pop("PYTHONPATH", "")]).strip(os.pathsep)
        try:
            done = subprocess.run(
                command,
                cwd=tmp_path,
                input=text if typed else None,
                capture_output=True,
                text=True,
                check=False,
                timeout=PROGRAM_S,
                env={**os.environ, "STREAM_INFER_GATEWAY": gateway, "PYTHONPATH": path, **environ},
            )
        except subprocess.TimeoutExpired as error:
            pytest.fail(f"after {PROGRAM_S:.0f} s it had said {error.stdout!r}\n{up.text()[-6000:]}")
        assert done.returncode == 0, f"{done.stderr}\n{up.text()[-6000:]}"
        return [json.loads(line) for line in done.stdout.splitlines()]

    return run


@pytest.mark.timeout(400)
def test_a_program_submits_whatever_it_has_and_reads_what_came_of_it(program: Program, tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    for name in ("a.bin", "b.bin", "c.txt"):
        (tmp_path / "pictures" / name).write_bytes(b"\xff\x00" + name.encode())

    first, many, table, folder, failed, *rest = program(SUBMITS)

    assert first == [{"n": 1}, {"n": 2}]
    assert many == [12_000, sum(range(12_000))]
    assert table == [[0.5, "a"], [1.5, "b"]]
    assert folder[0] == 2
    assert "results.jsonl" in folder[1]
    assert failed == ["completed_with_failures", ["KeyError"]]
    assert rest == [1, True, True, True]


@pytest.mark.timeout(400)
def test_a_class_of_a_program_is_live_in_seconds_with_what_it_requires(program: Program, tmp_path: Path) -> None:
    here = tmp_path / "installed"
    here.mkdir()
    (here / "greeter.py").write_text(GREETER)

    told = program(DEPLOYS, f"greeter @ {wheel(tmp_path).as_uri()}", PYTHONPATH=str(here))

    assert told == [
        ["live", True, True],
        ["Hello Ann.", "Hello Bo."],
        ["greets 2"],
        True,
        ["Hello Cy!"],
        True,
        ["broken", "greeter"],
        2,
    ]


GREETER = "def polite(word):\n    return word.capitalize()\n"


def wheel(folder: Path) -> Path:
    """A package that no index has."""
    info = "greeter-1.0.dist-info"
    files = {
        "greeter.py": GREETER,
        f"{info}/METADATA": "Metadata-Version: 2.1\nName: greeter\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    rows = [
        [name, "sha256=" + base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode().rstrip("="),
         len(text)]
        for name, text in files.items()
    ]  # fmt: skip
    record = io.StringIO()
    csv.writer(record).writerows([*rows, [f"{info}/RECORD", "", ""]])
    path = folder / "greeter-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as packed:
        for name, text in {**files, f"{info}/RECORD": record.getvalue()}.items():
            packed.writestr(name, text)
    return path


@pytest.mark.timeout(400)
def test_a_class_that_was_typed_into_a_notebook_is_sent_as_it_is(program: Program) -> None:
    assert program(NOTEBOOK, typed=True) == [[3, 6]]


@pytest.mark.timeout(400)
def test_coroutines_submit_and_wait_side_by_side(program: Program) -> None:
    assert program(COROUTINES) == [[[0], [1], [2]], 100]


@pytest.mark.timeout(400)
def test_the_tutorial_of_cortex_runs_with_another_import(program: Program, tmp_path: Path) -> None:
    status, job_id, names, gone = program(TUTORIAL)

    assert status == "succeeded"
    assert {"classifier", "echo", "mending"} <= set(names)
    assert gone == 404
    folder = tmp_path / "results" / job_id
    batches = [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]
    assert (folder / "done").exists()
    assert sorted(each["text"] for batch in batches for each in batch) == ["a", "bb", "ccc", "dddd", "eeeee"]
    assert {each["label"] for batch in batches for each in batch} == {"even", "odd"}
    assert max(map(len, batches)) <= 2
