"""Environments for code with requirements, made by the real installer, without a network."""

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from stream_infer.engine.trial import require_importable
from stream_infer.errors import PredictorUnavailable
from stream_infer.local import environments
from stream_infer.local.environments import environment_for
from stream_infer.predictors.spec import PredictorSpec
from tests.support.projects import wheel, write_project

WORDS = "def shout(text):\n    return text.upper()\n"


def project(folder: Path, requirements: str, **sources: str) -> Path:
    wheels = dict(wheel(name, source) for name, source in sources.items())
    return write_project(folder, {"requirements.txt": requirements, **wheels})


def said_by(python: str, code: str) -> str:
    return subprocess.run([python, "-c", code], capture_output=True, text=True, check=True, timeout=60).stdout.strip()


def test_what_is_required_is_there_in_front_of_what_stream_infer_has(tmp_path: Path) -> None:
    """pathspec is one that stream-infer has; here another one is asked for."""
    asked = "./tinywords-1.0-py3-none-any.whl  # a word\n\n./pathspec-1.0-py3-none-any.whl\n"
    code = project(tmp_path / "code", asked, tinywords=WORDS, pathspec="MARK = 'of the API'\n")
    lines: list[str] = []

    python = environment_for(code, tmp_path / "cache", lines.append)

    assert python is not None
    assert said_by(python, "import tinywords, pathspec; print(tinywords.shout(pathspec.MARK))") == "OF THE API"
    assert said_by(python, "import stream_infer, pydantic; print(stream_infer.__name__)") == "stream_infer"
    assert any("tinywords" in line for line in lines)
    lines.clear()
    assert environment_for(code, tmp_path / "cache", lines.append) == python
    assert lines == [], "it is there already"


def test_where_nothing_is_required_the_interpreter_is_our_own(tmp_path: Path) -> None:
    assert environment_for(tmp_path, tmp_path / "cache", print) is None
    code = project(tmp_path / "code", "# nothing\n\n")
    assert environment_for(code, tmp_path / "cache", print) is None


def test_what_cannot_be_installed_says_so_and_is_tried_anew(tmp_path: Path) -> None:
    code = project(tmp_path / "code", "./tinywords-1.0-py3-none-any.whl\n")
    for _ in range(2):
        with pytest.raises(PredictorUnavailable, match=r"requirements\.txt cannot be installed: .*tinywords"):
            environment_for(code, tmp_path / "cache", lambda _line: None)
    name, packed = wheel("tinywords", WORDS)
    (code / name).write_bytes(packed)
    assert environment_for(code, tmp_path / "cache", lambda _line: None) is not None


OWNER = """
import fcntl, os, sys
from pathlib import Path
from stream_infer.local.environments import run_installer

endless = "import os, time; print(os.getpid(), flush=True); time.sleep(600)"
with open(sys.argv[1], "ab") as lock:
    fcntl.flock(lock, fcntl.LOCK_EX)
    say = lambda line: print(line, flush=True)
    run_installer([sys.executable, "-c", endless], Path("."), dict(os.environ), say, lock.fileno())
"""


def test_an_installer_ends_with_who_started_it_and_nobody_begins_anew_before(tmp_path: Path) -> None:
    """Past bug: an installer that had outlived a killed `prepare` went on writing to what the next one made."""
    place = tmp_path / "lock"
    with subprocess.Popen([sys.executable, "-c", OWNER, str(place)], stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        installer = int(owner.stdout.readline())
        owner.kill()
    with place.open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(ProcessLookupError):
            os.kill(installer, 0)


def test_one_that_hangs_is_ended_with_what_it_has_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environments, "TIMEOUT_S", 2.0)
    hangs = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import time; time.sleep(600)'])"
    with (
        (tmp_path / "lock").open("ab") as lock,
        pytest.raises(PredictorUnavailable, match="was not installed within 2 s"),
    ):
        environments.run_installer([sys.executable, "-c", hangs], tmp_path, os.environ, print, lock.fileno())


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("class Model:\n    def __init__(self, config): ...\n    def predict(self, items): ...\n", None),
        ("class Model(:\n", r"SyntaxError: .*\(model\.py, line 1\)"),
        ("class Modell:\n    pass\n", r"model\.py has no 'Model'.*[Dd]id you mean"),
        ("import nowhere_to_be_found\n", r"install 'nowhere_to_be_found'.* requirements\.txt of the code"),
        ("raise SystemExit(3)\n", r"cannot be imported: SystemExit: 3"),
        ("import os\nos._exit(7)\n", r"ended Python with status 7"),
        ("import time\ntime.sleep(60)\n", r"more than 2 s"),
        ("class Model:\n    def __init__(self): ...\n    def predict(self, items): ...\n", r"__init__\(self, config\)"),
    ],
    ids=["well", "syntax", "class", "module", "exit", "hard-exit", "hangs", "constructor"],
)
def test_code_is_imported_once_before_anybody_relies_on_it(tmp_path: Path, source: str, words: str | None) -> None:
    (tmp_path / "model.py").write_text(source)
    spec = PredictorSpec("native", f"{tmp_path}/model.py:Model", path=(str(tmp_path),))
    timeout_s = 2.0 if "sleep" in source else 60.0

    if words is None:
        require_importable(spec, timeout_s)
        return
    with pytest.raises(PredictorUnavailable, match=words):
        require_importable(spec, timeout_s)
