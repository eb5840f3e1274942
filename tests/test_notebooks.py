"""The notebooks run from top to bottom, in a fresh kernel."""

import base64
import os
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

FOLDER = Path(__file__).parents[1] / "notebooks"
SHORTER = ("minutes=MINUTES, validate_every=200", "steps=40, validate_every=20")
SAID = {
    "01_quickstart": ["over Lanczos", "PSNR"],
    "02_dicom": [
        "every grey level is there: True",
        "faithful: LR-consistency",
        "detail may be synthetic",
        "uncertainty: mean",
        "2 films were there before",
        "out/study2/1.2.840.2.dcm",
    ],
    "03_deploy": [
        "over Lanczos",
        "models/edge-x4/1/saved_model.pb",
        "image_bytes[1] is not a PNG or JPEG image",
        "version 2: base-x4",
        "out/film.png.json",
        "inbox/quarantine/broken.png.reason.txt",
        "detail may be synthetic",
    ],
}


@pytest.mark.slow
@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.ipynb")), ids=lambda path: path.stem)
def test_notebook_runs_and_shows_pictures(path, monkeypatch):
    monkeypatch.setitem(os.environ, "MPLBACKEND", "module://matplotlib_inline.backend_inline")
    # The commands that a notebook calls are those of this environment.
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        cell.source = cell.source.replace(*SHORTER)
    NotebookClient(notebook, timeout=300, kernel_name="python3").execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    pictures = [
        base64.b64decode(output.data["image/png"])
        for output in outputs
        if "image/png" in output.get("data", {})
    ]
    assert len(pictures) >= 3
    assert all(picture.startswith(b"\x89PNG") for picture in pictures)
    printed = "".join(
        output.get("text", "") + output.get("data", {}).get("text/plain", "") for output in outputs
    )
    assert [words for words in SAID[path.stem] if words not in printed] == []
    assert "Traceback" not in printed
