"""The notebooks of docs/, each run from its first cell to its last against an `up` that knows no API."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from tests.support.up_process import ROOT, UpProcess, up_in, write_config

NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))
CELL_S = 120


@pytest.fixture
def up(tmp_path: Path) -> Iterator[UpProcess]:
    with up_in(tmp_path, write_config(tmp_path, apis=[])) as process:
        yield process


def test_a_notebook_carries_no_output() -> None:
    for path in NOTEBOOKS:
        cells = nbformat.read(path, as_version=4).cells
        assert all(not cell.outputs and cell.execution_count is None for cell in cells if cell.cell_type == "code"), (
            path
        )


@pytest.mark.timeout(400)
@pytest.mark.parametrize("path", NOTEBOOKS, ids=[path.stem for path in NOTEBOOKS])
def test_a_notebook_of_the_docs_runs_as_it_stands(
    path: Path, up: UpProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STREAM_INFER_GATEWAY", up.wait_until_ready()["gateway"])
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    notebook = nbformat.read(path, as_version=4)

    NotebookClient(notebook, timeout=CELL_S, resources={"metadata": {"path": str(tmp_path)}}).execute()

    shown = {cell.id: said(cell) for cell in notebook.cells if cell.cell_type == "code"}
    assert "'readability', 'live'" in shown["cell-5"]
    assert "completed_with_failures" in shown["cell-7"]
    assert "output.words" in shown["cell-9"]
    assert "there is no text" in shown["cell-10"]
    assert up.interrupt() == 0, up.text()


def said(cell: Any) -> str:
    """What stands below the cell, as text."""
    return "".join(
        output.get("text", "") + "".join(map(str, output.get("data", {}).values())) for output in cell.outputs
    )
