"""The notebooks run from top to bottom, in a fresh kernel."""

import base64
import os
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

FOLDER = Path(__file__).parents[1] / "notebooks"
SHORTER = ("MINUTES = 1.5", "MINUTES = 0.15")


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.ipynb")), ids=lambda path: path.stem)
def test_notebook_runs_and_shows_pictures(path, monkeypatch):
    monkeypatch.setitem(os.environ, "MPLBACKEND", "module://matplotlib_inline.backend_inline")
    notebook = nbformat.read(path, as_version=4)
    cell = next(cell for cell in notebook.cells if SHORTER[0] in cell.source)
    cell.source = cell.source.replace(*SHORTER)
    NotebookClient(notebook, timeout=300, kernel_name="python3").execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    pictures = [
        base64.b64decode(output.data["image/png"])
        for output in outputs
        if "image/png" in output.get("data", {})
    ]
    assert len(pictures) >= 4
    assert all(picture.startswith(b"\x89PNG") for picture in pictures)
    printed = "".join(
        output.get("text", "") + output.get("data", {}).get("text/plain", "") for output in outputs
    )
    assert "over Lanczos" in printed
    assert "Traceback" not in printed
