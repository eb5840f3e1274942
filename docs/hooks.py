"""What `mkdocs build` makes of the code: executed notebooks, model cards, tables of settings.

Pages written by hand hold a comment such as `<!-- settings -->` where a table belongs. Pages that
exist elsewhere (README, changelog, notebooks, the kits' READMEs) are taken from there.
"""

from __future__ import annotations

import base64
import json
import os
import re
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import nbformat
import typer
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from nbclient import NotebookClient

import xraysr
from xraysr.degradation import NAMED
from xraysr.films.layouts import LAYOUTS
from xraysr.presets import ModelCard, names
from xraysr.training.config import settings_table
from xraysr.upscale.gate import FITS

ROOT = Path(__file__).resolve().parents[1]
# Pages of the site that are files elsewhere in the repository.
BORROWED = {
    "index.md": "README.md",
    "changelog.md": "CHANGELOG.md",
    "contributing.md": "CONTRIBUTING.md",
    "security.md": "SECURITY.md",
    "kits/serving.md": "export/serving/README.md",
    "kits/edge.md": "export/edge/README.md",
    "kits/training.md": "export/training/README.md",
}
LINK = re.compile(r"\[([^\]]*)\]\(([^)#\s:]+)(#[^)\s]*)?\)")
ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
API = re.compile(r"^::: xraysr\.(\w+)$", re.MULTILINE)
CELL_TIMEOUT = 900

_serving = False


def on_startup(command: str, dirty: bool) -> None:
    """`mkdocs serve` shows notebooks without executing them again at each change."""
    global _serving
    _serving = command == "serve"


def on_config(config: MkDocsConfig) -> None:
    """Lists the model cards in the navigation."""
    (presets,) = (each["Presets"] for each in config.nav if "Presets" in each)
    presets += [f"presets/{name}.md" for name in names()]


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the pages that are made here."""
    made: dict[str, str | bytes] = {
        page: _relinked(page, source) for page, source in BORROWED.items()
    }
    made |= {f"presets/{name}.md": ModelCard.load(name).markdown() for name in names()}
    notebooks = sorted((ROOT / "notebooks").glob("*.ipynb"))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for pages in pool.map(_tutorial, notebooks):
            made |= pages
    for name, content in made.items():
        files.append(File.generated(config, name, content=content))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Fills in the tables, and sends mkdocstrings to where a public name is defined."""
    tables = {
        "settings": settings_table,
        "commands": _commands,
        "layouts": _layouts,
        "degradations": _degradations,
        "gate": _gate,
    }
    for marker, table in tables.items():
        if f"<!-- {marker} -->" in markdown:
            markdown = markdown.replace(f"<!-- {marker} -->", table())
    return API.sub(_home, markdown)


def _home(found: re.Match[str]) -> str:
    """The public names are lazy, which a static reader of the code cannot follow."""
    name = found[1]
    thing = getattr(xraysr, name)
    return f"::: {thing.__module__}.{thing.__qualname__}\n    options: {{heading: xraysr.{name}}}"


def _relinked(page: str, source: str) -> str:
    """The text of a file of the repository, its links as they are from its page of the site."""
    text = (ROOT / source).read_text("utf-8")
    pages = {ROOT / other: name for name, other in BORROWED.items()}
    pages |= {path: f"tutorials/{path.stem}.md" for path in (ROOT / "notebooks").glob("*.ipynb")}

    def relink(found: re.Match[str]) -> str:
        path = (ROOT / source).parent.joinpath(found[2]).resolve()
        if path.is_relative_to(ROOT / "docs"):
            target = path.relative_to(ROOT / "docs").as_posix()
        elif path in pages:
            target = pages[path]
        elif path.exists():
            return found[1]  # of the repository, and no page of the site
        else:
            raise ValueError(f"{source} links to {found[2]}, which is not there")
        return f"[{found[1]}]({os.path.relpath(target, Path(page).parent)}{found[3] or ''})"

    return LINK.sub(relink, text)


def _gate() -> str:
    """What the gate found on test films, from its file."""
    measured = json.loads(FITS.read_text("utf-8"))["measured"]
    head = ["LR", *next(iter(measured.values()))]
    lines = [head, ["---"] * len(head)]
    lines += [[made, *(f"{value:g}" for value in row.values())] for made, row in measured.items()]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


# Notebooks


def _tutorial(path: Path) -> dict[str, str | bytes]:
    """A notebook as a page and its pictures, by their place in the site; executed."""
    notebook = nbformat.read(path, as_version=4)
    made: dict[str, str | bytes] = {}
    lines: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        if not _serving:
            _execute(notebook, folder)
        for cell in notebook.cells:
            if cell.cell_type == "markdown":
                lines += ["", cell.source]
                continue
            lines += ["", "```python", cell.source, "```"]
            outputs = cell.get("outputs", ())
            if printed := "\n".join(filter(None, (_printed(each, folder) for each in outputs))):
                lines += ["", "```text", printed, "```"]
            for output in outputs:
                if picture := output.get("data", {}).get("image/png"):
                    name = f"{path.stem}-{len(made)}.png"
                    made[f"tutorials/{name}"] = base64.b64decode(picture)
                    lines += ["", f"![Output of the cell above]({name})"]
    made[f"tutorials/{path.stem}.md"] = "\n".join(lines)
    return made


def _execute(notebook: nbformat.NotebookNode, folder: str) -> None:
    environment = os.environ | {
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        # The commands that a notebook calls are those of this environment.
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "TMPDIR": folder,
        "NO_COLOR": "1",
    }
    client = NotebookClient(notebook, timeout=CELL_TIMEOUT, kernel_name="python3")
    client.execute(env=environment, cwd=folder)


def _printed(output: nbformat.NotebookNode, folder: str) -> str:
    """What a cell printed, without colours and without the path of this machine."""
    if output.get("name") == "stderr" or "image/png" in output.get("data", {}):
        return ""
    text = output.get("text", "") or output.get("data", {}).get("text/plain", "")
    return ANSI.sub("", re.sub(rf"{re.escape(folder)}/\w+", "WORK", text)).strip("\n")


# Tables


def _layouts() -> str:
    """The layouts of films that are known, and what each cannot tell."""
    known = dict.fromkeys((each.name, each.note) for each in LAYOUTS)
    return "\n".join(f"| {name} | {note} |" for name, note in known)


def _degradations() -> str:
    """The degradations that have a name."""
    return "\n".join(f"| `{name}` | {each.text} |" for name, each in NAMED.items())


def _commands() -> str:
    """Every command with its arguments and options, as `--help` says them."""
    from xraysr.cli import app

    lines: list[str] = []
    for name, command in sorted(typer.main.get_command(app).commands.items()):
        words = {each: "/".join([*each.opts, *each.secondary_opts]) for each in command.params}
        arguments = [each for each in words if each.param_type_name == "argument"]
        usage = " ".join(["xraysr", name, *map(_usage, arguments), "[OPTIONS]"])
        lines += [f"## xraysr {name}", "", command.help or "", "", "```sh", usage, "```", ""]
        lines += ["| | default | |", "|---|---|---|"]
        for each, word in words.items():
            default = "required" if each.required else _default(each.default)
            shown = word.upper() if each in arguments else word
            lines.append(f"| `{shown}` | {default} | {each.help or ''} |")
        lines.append("")
    return "\n".join(lines)


def _usage(argument: Any) -> str:
    text = argument.name.upper() + ("..." if argument.nargs == -1 else "")
    return text if argument.required else f"[{text}]"


def _default(value: Any) -> str:
    return "" if value in (None, False, ()) or callable(value) else f"`{value}`"
