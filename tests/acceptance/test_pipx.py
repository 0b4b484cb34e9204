"""The wheel of this tree: what is in it, and what its commands do where pipx has installed it, far from the tree."""

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from email.message import Message
from email.parser import Parser
from pathlib import Path

import pytest

from tests.support.services import missing
from tests.support.up_process import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PACKAGES = ("stream_infer", "connectors")
# uv says so of what it would have to fetch.
WITHOUT_NETWORK = re.compile(r"network (was|is) disabled", re.IGNORECASE)
COMMAND_S = 100.0
MODEL = """
class Shouter:
    def __init__(self, config):
        pass

    def predict(self, items):
        return [item["text"].upper() for item in items]
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    for module in ("hatchling", "pipx"):
        if importlib.util.find_spec(module) is None:
            missing(f"{module} is not installed: make lock, make setup")
    folder = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True, timeout=COMMAND_S)
    [made] = folder.iterdir()
    return made


class Home:
    """Somebody's home folder, in which pipx has installed the wheel. Nothing of the tree is on its path."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.programs = folder / ".local" / "bin"
        self.pipx = folder / ".local" / "share" / "pipx"
        self.empty = folder / "empty"
        self.empty.mkdir(parents=True)

    def install(self, wheel: Path) -> None:
        """With the versions of the lock, from uv's cache, where `make setup` has left them."""
        environment = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PIPX_HOME": str(self.pipx),
            "PIPX_BIN_DIR": str(self.programs),
            "PIPX_MAN_DIR": str(self.folder / ".local" / "share" / "man"),
            "UV_OFFLINE": "1",
            "UV_CONSTRAINT": str(ROOT / "requirements" / "base.txt"),
        }
        environment.pop("PYTHONPATH", None)
        command = [sys.executable, "-m", "pipx", "install", "--backend", "uv", "--python", sys.executable, str(wheel)]
        done = subprocess.run(
            command, cwd=self.empty, env=environment, capture_output=True, text=True, timeout=COMMAND_S, check=False
        )
        said = done.stdout + done.stderr
        if done.returncode != 0 and WITHOUT_NETWORK.search(said + self._logs()):
            missing(f"what the wheel needs is not in uv's cache: make setup\n{said}")
        assert done.returncode == 0, said + self._logs()

    def run(self, line: str) -> str:
        """What a line of bash's prints, in the empty folder; fails where it ends with an error."""
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-c", line],
            cwd=self.empty,
            env={"HOME": str(self.folder), "PATH": f"{self.programs}:{os.defpath}", "LANG": "C.UTF-8"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=COMMAND_S,
            check=False,
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def offered(self, line: str) -> list[str]:
        """What bash offers when Tab is pressed behind `line`."""
        words = line.split(" ")
        pressed = f"COMP_WORDS=({line}); COMP_CWORD={len(words) - 1}; _stream_infer_completion stream-infer"
        return self.run(f'. ~/.bashrc; {pressed}; printf "%s\\n" "${{COMPREPLY[@]}}"').split()

    def _logs(self) -> str:
        return "".join(log.read_text(errors="replace") for log in sorted(self.pipx.rglob("*.log")))


@pytest.fixture(scope="module")
def home(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Home:
    if shutil.which("bash") is None:
        missing("bash is not installed here")
    home = Home(tmp_path_factory.mktemp("home"))
    home.install(wheel)
    return home


def test_the_wheel_holds_both_packages_whole_and_nothing_else(wheel: Path) -> None:
    """Their modules, py.typed, the page's files, the pins of Kafka's jars, the configurations of Kafka Connect."""
    held = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}

    files = (file for package in PACKAGES for file in (ROOT / package).rglob("*") if file.is_file())
    assert held == {str(file.relative_to(ROOT)) for file in files if "__pycache__" not in file.parts}
    assert {f"{package}/py.typed" for package in PACKAGES} <= held
    assert {"stream_infer/gateway/page/index.html", "stream_infer/gateway/page/page.css"} <= held


def test_its_metadata_name_the_command_what_it_needs_and_its_extras(wheel: Path) -> None:
    metadata = metadata_of(wheel)
    assert (metadata["Name"], metadata["Version"]) == (PROJECT["name"], PROJECT["version"])
    assert metadata["Requires-Python"] == PROJECT["requires-python"]
    assert set(metadata.get_all("Provides-Extra", [])) == set(PROJECT["optional-dependencies"])
    needed = [one for one in metadata.get_all("Requires-Dist", []) if "extra ==" not in one]
    assert len(needed) == len(PROJECT["dependencies"])
    assert entry_points_of(wheel) == "[console_scripts]\nstream-infer = stream_infer.cli.app:main\n"


def test_pipx_installs_the_command_which_runs_in_an_empty_folder(home: Home) -> None:
    # Given the one link that pipx has made
    assert [link.name for link in home.programs.iterdir()] == ["stream-infer"]
    assert home.pipx in (home.programs / "stream-infer").resolve().parents

    # When its commands are run, then they are those of the wheel
    assert home.run("stream-infer --version") == f"stream-infer {PROJECT['version']}\n"
    assert "Usage: stream-infer [OPTIONS] COMMAND" in home.run("stream-infer --help")
    assert "No package here has an entry point" in home.run("stream-infer plugins")
    assert json.loads(home.run("stream-infer plugins --output json")) == []
    assert list(home.empty.iterdir()) == []

    # and a model of one's own runs, without Kafka
    (home.empty / "model.py").write_text(MODEL)
    (home.empty / "texts").mkdir()
    (home.empty / "texts" / "a.json").write_text('{"text": "hello"}')
    home.run("stream-infer batch model.py:Shouter texts --output out.jsonl")
    [line] = (home.empty / "out.jsonl").read_text().splitlines()
    assert json.loads(line)["output"] == "HELLO"


def test_tab_offers_what_the_shell_page_says(home: Home) -> None:
    home.run("stream-infer --install-completion; true")
    (home.empty / "stream-infer.yaml").write_text(
        "gateway: {listen: '127.0.0.1:9'}\napis: [{name: shouter, predictor: {type: native, target: 'm:C'}}]\n"
    )

    assert home.offered("stream-infer su") == ["submit"]
    assert home.offered("stream-infer get --out") == ["--output"]
    assert home.offered("stream-infer submit ") == ["shouter"], "of the configuration, as no gateway answers"


def metadata_of(wheel: Path) -> Message:
    return Parser().parsestr(_of_dist_info(wheel, "METADATA"))


def entry_points_of(wheel: Path) -> str:
    return _of_dist_info(wheel, "entry_points.txt")


def _of_dist_info(wheel: Path, name: str) -> str:
    with zipfile.ZipFile(wheel) as archive:
        [found] = (one for one in archive.namelist() if one.endswith(f".dist-info/{name}"))
        return archive.read(found).decode()
