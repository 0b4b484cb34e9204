"""The notebooks of docs/, each run from its first cell to its last against an `up` that knows no API."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from tests.support.up_process import ROOT, UpProcess, up_in, write_config

FOLDER = ROOT / "docs" / "notebooks"
# What stands below cells of each.
SHOWN = {
    "an-api-from-a-notebook": {
        "cell-5": "'readability', 'live'",
        "cell-7": "completed_with_failures",
        "cell-9": "output.words",
        "cell-10": "there is no text",
    }
}
CELL_S = 120


@pytest.fixture
def up(tmp_path: Path) -> Iterator[UpProcess]:
    with up_in(tmp_path, write_config(tmp_path, apis=[])) as process:
        yield process


def test_every_notebook_is_run() -> None:
    assert {path.stem for path in FOLDER.glob("*.ipynb")} == SHOWN.keys()


@pytest.mark.parametrize("name", SHOWN)
def test_a_notebook_carries_no_output(name: str) -> None:
    cells = [cell for cell in notebook_of(name).cells if cell.cell_type == "code"]

    assert [(cell.outputs, cell.execution_count) for cell in cells] == [([], None)] * len(cells)


@pytest.mark.timeout(400)
@pytest.mark.parametrize("name", SHOWN)
def test_a_notebook_of_the_docs_runs_as_it_stands(
    name: str, up: UpProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STREAM_INFER_GATEWAY", up.wait_until_ready()["gateway"])
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    notebook = notebook_of(name)

    NotebookClient(notebook, timeout=CELL_S, resources={"metadata": {"path": str(tmp_path)}}).execute()

    shown = {cell.id: said(cell) for cell in notebook.cells if cell.cell_type == "code"}
    for cell, words in SHOWN[name].items():
        assert words in shown[cell]
    assert up.interrupt() == 0, up.text()


def notebook_of(name: str) -> Any:
    return nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)


def said(cell: Any) -> str:
    """What stands below the cell, as text."""
    return "".join(
        output.get("text", "") + "".join(map(str, output.get("data", {}).values())) for output in cell.outputs
    )
