"""The code of an API, as it is sent: what is in the archive, and that it runs where it arrives."""

import importlib
import io
import json
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest

from stream_infer.clients import calls
from stream_infer.clients.call import Call, Part
from stream_infer.clients.class_source import source_of_class
from stream_infer.clients.code import ENTRY, PICKLE, code_of
from stream_infer.clients.deploying import deployed, deployment
from stream_infer.clients.errors import ApiFailed, WaitTimeout
from stream_infer.definitions import ApiState
from stream_infer.errors import UsageError
from stream_infer.gateway.api_bodies import ApiBody
from stream_infer.settings import ApiSettings
from tests.support.steps import asked, carry_out

MODULE = "class Shouter:\n    def __init__(self, config): ...\n    def predict(self, items): return items\n"


@pytest.fixture
def shouter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A class in a module of its own."""
    (tmp_path / "module").mkdir()
    (tmp_path / "module" / "shouting.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path / "module"))
    return importlib.import_module("shouting").Shouter


def files_of(archive: bytes | None) -> dict[str, bytes]:
    assert archive is not None
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as packed:
        members = [(member.name, packed.extractfile(member)) for member in packed]
        return {name: content.read() for name, content in members if content is not None}


def test_the_class_of_a_module_is_that_modules_file(shouter: type) -> None:
    code = code_of(shouter, [], None)
    assert (code.file, code.name, code.target) == ("shouting.py", "Shouter", "shouting.py:Shouter")
    assert files_of(code.archive) == {"shouting.py": MODULE.encode()}
    assert code_of(shouter, [], None) == code, "byte for byte, so that the same again changes nothing"


PROGRAM = """\
from __future__ import annotations

import json, os
import requests
from stream_infer.compat import cortex

LABELS = ["cat", "dog"]
try:
    import fast as library
except ImportError:
    import slow as library
if os.environ.get("X"):
    SCALE = 2
else:
    SCALE = 3

def label(n: int) -> str:
    return LABELS[n] + json.dumps(SCALE)

@cortex.unused
def other(): ...

def decorate(cls):
    return cls

class Base:
    limit = 3

@decorate
class PythonPredictor(Base):
    def __init__(self, config, job_spec):
        self.library = library

    def predict(self, payload, batch_id):
        response = payload  # a variable of its own
        return [label(len(job)) for job in response if "endpoint"]

endpoint = "http://x"; job = requests.post(endpoint)
response = job
cx = cortex.client("aws")
cx.create_api({"name": "x"}, predictor=PythonPredictor)
if __name__ == "__main__":
    LABELS = requests.get("http://x")
"""


def test_a_class_of_a_program_is_taken_without_the_program() -> None:
    source = source_of_class(PROGRAM, "PythonPredictor", "batch.py")
    assert source is not None
    for kept in ("annotations", "import json, os", "LABELS = [", "import fast as library", "SCALE = 3", "def label",
                 "class Base", "@decorate\nclass PythonPredictor(Base)", "def decorate"):  # fmt: skip
        assert kept in source, kept
    for left in ("endpoint =", "job =", "= job", "cortex", "requests", "create_api", "def other", "__main__"):
        assert left not in source, left
    compile(source, ENTRY, "exec")
    assert source_of_class(PROGRAM, "Nothing", "batch.py") is None


FILLED = """
import os
TABLE, NAMES, SEEN = {}, [], set()
TABLE["a"] = 1
NAMES.append("b")
for number in range(3):
    if number:
        TABLE[number] = number
SEEN.add("nobody asks")
os.environ["SECRET"] = "x"
client = make()
client.create_api({}, predictor=Filled)
class Options:
    size = 1
Options.size = 2
class Filled:
    limits = Options
    def predict(self, items):
        return [TABLE, NAMES, self.limits.size, os.environ.get("SECRET")]
Filled.deploy()
"""


def test_a_constant_comes_with_what_is_put_into_it() -> None:
    """Or it would be empty where the class runs, and nobody would say so."""
    source = source_of_class(FILLED, "Filled", "program.py")
    assert source is not None
    made: dict[str, Any] = {}
    exec(compile(source, ENTRY, "exec"), made)
    assert made["Filled"]().predict([]) == [{"a": 1, 1: 1, 2: 2}, ["b"], 2, None]
    for left in ("SEEN.add", 'SECRET"] =', "client", "deploy"):
        assert left not in source, left


def run(folder: Path, *arguments: str, text: str = "") -> str:
    done = subprocess.run(
        [sys.executable, *arguments], cwd=folder, input=text, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


SENDS = """
import sys
from pathlib import Path
from stream_infer.clients.code import code_of
FACTOR = 7
def times(n): return FACTOR * n
class Times:
    def __init__(self, config): pass
    def predict(self, items): return [times(item) for item in items]
Path("code.tar.gz").write_bytes(code_of(Times, ["numpy"], None).archive)
"""
RUNS = "from generated_predictor import Times; print(Times({}).predict([1, 2]))"


@pytest.mark.parametrize(("how", "is_pickled"), [("a program", False), ("typed in", True)])
def test_what_was_sent_runs_where_it_arrives(tmp_path: Path, how: str, is_pickled: bool) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    if how == "a program":
        (here / "program.py").write_text(SENDS)
        run(here, "program.py")
    else:
        run(here, "-", text=SENDS)  # as a notebook: there is no file
    files = files_of((here / "code.tar.gz").read_bytes())
    assert set(files) == {ENTRY, "requirements.txt"} | ({PICKLE} if is_pickled else set())
    assert files["requirements.txt"] == b"numpy\n"
    for name, data in files.items():
        (there / name).write_bytes(data)
    assert run(there, "-c", RUNS) == "[7, 14]\n"


def test_a_pickled_class_says_which_python_it_wants(tmp_path: Path) -> None:
    run(tmp_path, "-", text=SENDS)
    files = files_of((tmp_path / "code.tar.gz").read_bytes())
    own = f"{sys.version_info[0]}.{sys.version_info[1]}"
    text = files[ENTRY].decode().replace(own, "3.99").replace(own.replace(".", ", "), "3, 99")
    (tmp_path / ENTRY).write_text(text)
    (tmp_path / PICKLE).write_bytes(files[PICKLE])
    said = run(tmp_path, "-c", "try:\n import generated_predictor\nexcept ImportError as error: print(error)")
    assert "Times was made in a notebook by Python 3.99, and this is Python 3." in said
    assert "write the class into a file" in said


def project(folder: Path) -> Path:
    for name, text in {
        "model.py": "class Shouter: ...\n", "requirements.txt": "httpx\n", ".env": "A=1\n", ".git/config": "x",
        "lib/__init__.py": "", "lib/__pycache__/a.pyc": "x", "venv/pyvenv.cfg": "x", "venv/bin/python": "x",
        "lib/deep/__init__.py": "", "lib/deep/models.py": "from .. import deep\nclass Deep: ...\n",
    }.items():  # fmt: skip
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def test_a_project_is_its_folder_without_caches_and_environments(tmp_path: Path) -> None:
    code = code_of(None, ["pillow>=11"], project(tmp_path))
    assert code.target is None
    files = files_of(code.archive)
    assert sorted(files) == [
        ".env", "lib/__init__.py", "lib/deep/__init__.py", "lib/deep/models.py", "model.py", "requirements.txt",
    ]  # fmt: skip
    assert files["requirements.txt"] == b"httpx\npillow>=11\n"


def test_a_class_in_a_package_brings_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(project(tmp_path)))
    Deep = importlib.import_module("lib.deep.models").Deep  # noqa: N806
    InProject = importlib.import_module("model").Shouter  # noqa: N806

    code = code_of(Deep, [], None)
    assert code.target == f"{ENTRY}:Deep"
    files = files_of(code.archive)
    assert sorted(files) == [ENTRY, "lib/__init__.py", "lib/deep/__init__.py", "lib/deep/models.py"]
    assert b"from lib.deep.models import Deep" in files[ENTRY]
    assert code_of(Deep, [], tmp_path).target == "lib/deep/models.py:Deep"
    assert code_of(InProject, [], tmp_path).target == "model.py:Shouter"


def test_what_is_no_code_is_said_to_be_none(tmp_path: Path, shouter: type) -> None:
    class Inner: ...

    for predictor, requirements, folder, said in (
        (Inner, [], None, "define it at the top of its file"),
        (shouter({}), [], None, "not one of its instances"),
        (shouter, "numpy", None, "are a list"),
        (None, [], tmp_path / "none", "is no folder"),
    ):
        with pytest.raises(UsageError, match=said):
            code_of(predictor, requirements, folder)  # type: ignore[arg-type]
    assert code_of(None, [], None).archive is None


def definition(form: Any) -> Any:
    return json.loads(form["definition"].content)


def test_a_definition_says_where_in_its_code_the_class_is(shouter: type) -> None:
    name, form = deployment({"name": "s", "partitions": 2}, shouter, [], None)
    assert name == "s"
    assert definition(form) == {
        "name": "s", "partitions": 2, "predictor": {"type": "native", "target": "shouting.py:Shouter"},
    }  # fmt: skip
    assert form["code"].content_type == "application/gzip"
    ApiSettings.model_validate(definition(form))
    _, of_cortex = deployment({"name": "s", "predictor": {"type": "cortex", "config": {"a": 1}}}, shouter, [], None)
    assert definition(of_cortex)["predictor"] == {"type": "cortex", "config": {"a": 1}, "path": "shouting.py"}
    _, alone = deployment({"name": "s", "predictor": {"type": "torchvision", "model": "resnet18"}}, None, [], None)
    assert set(alone) == {"definition"}
    for wrong, said in (({}, "no name"), ({"name": "s", "predictor": {"config": {"x": object()}}}, "no JSON")):
        with pytest.raises(UsageError, match=said):
            deployment(wrong, None, [], None)


def api(state: ApiState, message: str | None = None) -> ApiBody:
    return ApiBody(
        name="s", state=state, message=message, predictor={}, max_batch_size=1, max_wait_ms=1.0, max_attempts=3,
        partitions=1, workers={}, topics={}, active_jobs=0, waiting_items=0, rate=0.0, links={},
    )  # fmt: skip


def test_an_api_is_waited_for_until_it_is_live_or_has_failed() -> None:
    change: Call[ApiBody] = calls.put_api("s", {"definition": Part(b"{}", "application/json")})
    states = iter([api(ApiState.PREPARING), api(ApiState.PREPARING), api(ApiState.LIVE)])
    made, steps = carry_out(deployed(change, wait=True, timeout_s=None), lambda _step: next(states))
    assert made.state is ApiState.LIVE
    assert asked(steps) == ["PUT /v1/apis/s", "GET /v1/apis/s", "GET /v1/apis/s"]
    made, steps = carry_out(deployed(change, wait=False, timeout_s=None), lambda _step: api(ApiState.PREPARING))
    assert (made.state, len(steps)) == (ApiState.PREPARING, 1)
    with pytest.raises(ApiFailed, match="API s cannot be served: no module named x") as error:
        carry_out(deployed(change, wait=True, timeout_s=None), lambda _: api(ApiState.FAILED, "no module named x"))
    assert error.value.exit_code == 2
    with pytest.raises(WaitTimeout, match="API s is not live"):
        carry_out(deployed(change, wait=True, timeout_s=0.0), lambda _: api(ApiState.PREPARING))
