"""What surrounds the code: the Makefile's choice of Python, the workflow, forms, containers."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
MAKEFILE = (ROOT / "Makefile").read_text("utf-8")
WORKFLOW = ROOT / ".github" / "workflows" / "ci.yml"
TARGETS = set(re.findall(r"^([\w-]+):", MAKEFILE, re.M))
SCHEMAS = {
    "github-workflows": [".github/workflows/ci.yml"],
    "github-issue-forms": [".github/ISSUE_TEMPLATE/bug.yml", ".github/ISSUE_TEMPLATE/idea.yml"],
    "github-issue-config": [".github/ISSUE_TEMPLATE/config.yml"],
    "citation-file-format": ["CITATION.cff"],
}


@pytest.fixture
def dry_run(tmp_path):
    """`make --dry-run demo` with these Pythons on the path, each a script that says its version."""
    if shutil.which("make") is None:
        pytest.skip("needs make")
    shutil.copy(ROOT / "Makefile", tmp_path)
    for name in ("setup.cfg", "setup.py", "pyproject.toml", "constraints.txt"):
        (tmp_path / name).touch()
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("sh", "make", "echo", "rm", "touch"):
        (tools / name).symlink_to(shutil.which(name))

    def run(*words: str, dry: bool = True, **pythons: str) -> subprocess.CompletedProcess:
        for name, version in pythons.items():
            script = tools / name.replace("_", ".")
            change = f"import sys; sys.version_info = ({version}, 0)"
            script.write_text(f'#!/bin/sh\nexec {sys.executable} -c "{change}; $2"\n')
            script.chmod(0o755)
        command = ["make", *(["--dry-run"] if dry else []), *words]
        return subprocess.run(
            command, cwd=tmp_path, env={"PATH": str(tools)}, capture_output=True, text=True
        )

    return run


def test_make_takes_the_first_python_that_fits(dry_run):
    found = dry_run("demo", python3_11="3, 9", python3_13="3, 13", python3="3, 14").stdout
    assert "\npython3.13 -m venv .venv" in f"\n{found}"
    assert "\npython3.12 -m venv .venv" in dry_run("test", python3_12="3, 12").stdout
    assert "python9 -m venv .venv" in dry_run("test", "PYTHON=python9").stdout


def test_make_says_when_no_python_fits(dry_run):
    done = dry_run("test", dry=False, python3_11="3, 10", python3="3, 14")
    assert done.returncode != 0
    assert "No Python from 3.11 to 3.13" in done.stderr
    assert "python3.11 python3.12 python3.13 python3 python" in done.stderr


def test_the_site_is_built_with_warnings_as_errors():
    assert re.search(r"mkdocs build .*--strict", MAKEFILE)


def test_the_workflow_and_ci_call_the_same_targets():
    jobs = yaml.safe_load(WORKFLOW.read_text("utf-8"))["jobs"]
    steps = [step.get("run", "") for job in jobs.values() for step in job["steps"]]
    called = re.findall(r"^make ([\w-]+.*)$", "\n".join(steps), re.M)
    script = (ROOT / ".ci" / "run").read_text("utf-8")
    assert sorted(called) == sorted(re.findall(r"^make ([\w-]+.*)$", script, re.M))
    assert {each.split()[0] for each in called} <= TARGETS
    (programs,) = (re.search(r"recommends([^>]+)", text)[1] for text in steps if "apt" in text)
    wanted = re.search(r"recommends([^>]+)", script)[1]
    assert sorted(re.findall(r"[\w-]+", programs)) == sorted(re.findall(r"[\w-]+", wanted))
    assert jobs["test"]["strategy"]["matrix"]["python"] == ["3.11", "3.12", "3.13"]


def test_ci_ends_with_the_tests():
    assert (ROOT / ".ci" / "run").read_text("utf-8").splitlines()[-1] == "make test"


@pytest.mark.parametrize("schema", SCHEMAS)
def test_files_for_github_fit_their_schemas(schema):
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", f"vendor.{schema}"]
    done = subprocess.run([*command, *SCHEMAS[schema]], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_issue_forms_ask_for_the_versions():
    for name in SCHEMAS["github-issue-forms"]:
        assert "xraysr info" in (ROOT / name).read_text("utf-8")


def test_hooks_call_installed_tools_alone():
    repos = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text("utf-8"))["repos"]
    hooks = [hook for repo in repos for hook in repo["hooks"]]
    assert [repo["repo"] for repo in repos] == ["local"]
    assert all(hook["language"] == "system" for hook in hooks)
    assert all(hook["entry"].startswith(".venv/bin/") for hook in hooks)


def test_the_citation_has_the_version():
    import xraysr

    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    assert cited["version"] == xraysr.__version__


def test_the_training_image_installs_what_is_there_as_nobody():
    text = (ROOT / "export" / "training" / "Dockerfile").read_text("utf-8")
    build = re.search(r"^# (docker build .*)$", text, re.M)[1]
    assert build.split(" -t ")[0] in (ROOT / "export" / "training" / "README.md").read_text("utf-8")
    copied = [line.split()[1:-1] for line in text.splitlines() if line.startswith("COPY")]
    assert all((ROOT / name).exists() for names in copied for name in names)
    extras = re.search(r"^ARG EXTRAS=([\w,]+)", text, re.M)[1].split(",")
    assert all(re.search(rf"^{each} =", (ROOT / "setup.cfg").read_text(), re.M) for each in extras)
    lines = text.splitlines()
    assert lines.index("USER xraysr") > max(n for n, line in enumerate(lines) if "RUN" in line)
