"""export/edge/: each file as far as it can be checked here, and consistent with the program."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from collections import defaultdict
from configparser import ConfigParser
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from typer.main import get_command

from xraysr.cli import app
from xraysr.upscale import inbox, watch

ROOT = Path(__file__).parents[1]
KIT = ROOT / "export" / "edge"
UNIT = KIT / "xraysr-watch.service"
# As the Dockerfile reference lists them.
INSTRUCTIONS = {
    "ADD", "ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "EXPOSE", "FROM", "HEALTHCHECK", "LABEL",
    "ONBUILD", "RUN", "SHELL", "STOPSIGNAL", "USER", "VOLUME", "WORKDIR",
}  # fmt: skip


def unit() -> dict[str, dict[str, list[str]]]:
    """Sections, and in each the values of every key."""
    sections: dict[str, dict[str, list[str]]] = {}
    for line in UNIT.read_text("utf-8").splitlines():
        if line.startswith("["):
            section = sections[line.strip("[]")] = defaultdict(list)
        elif line and not line.startswith("#"):
            key, value = line.split("=", 1)
            section[key].append(value)
    return sections


def service(key: str) -> str:
    (only,) = unit()["Service"][key]
    return only


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's instructions with what stands behind them, on one line each."""
    text = (KIT / "Dockerfile").read_text("utf-8").replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(name, rest.strip()) for name, rest in (line.split(None, 1) for line in lines)]


def readme_commands() -> list[list[str]]:
    """Every line of the README's shell blocks and every command line within its text, as words."""
    text = (KIT / "README.md").read_text("utf-8")
    blocks = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()]
    lines += [each for each in re.findall(r"`([^`\n]+)`", text) if " " in each]
    words = [shlex.split(line) for line in lines]
    return [each[1:] if each[0] == "sudo" else each for each in words]


def assert_real(words: list[str]) -> None:
    """That the command line has the command and its options, and takes that many arguments."""
    try:
        get_command(app).commands[words[0]].make_context(words[0], list(words[1:]))
    except Exception as error:  # typer raises what it does not export
        raise AssertionError(f"xraysr {' '.join(words)}: {error!r}") from error


def words_of_xraysr(words: list[str]) -> list[str] | None:
    """What stands behind `xraysr`, in whatever way it is called; None where it is not called."""
    names = [Path(word).name for word in words]
    if "xraysr" not in names or words[0] in ("useradd", "usermod", "docker", "journalctl"):
        return None
    return words[names.index("xraysr") + 1 :]


def test_the_commands_of_the_readme_are_real():
    commands = [said for words in readme_commands() if (said := words_of_xraysr(words))]
    assert {said[0] for said in commands} >= {"export", "upscale", "watch", "phantom"}
    for said in commands:
        assert_real(said)


@pytest.mark.parametrize(
    "line", ["watch m in out --every 2 --twice", "watch m in", "watch m in out more", "look m"]
)
def test_a_command_that_is_not_would_be_found(line):
    with pytest.raises(AssertionError, match=line):
        assert_real(line.split())


def test_the_files_that_the_readme_names_are_there():
    named = {
        word
        for words in readme_commands()
        for word in words
        if word.startswith("export/edge/") or word.endswith("constraints.txt")
    }
    assert named == {
        "constraints.txt",
        "export/edge/requirements.txt",
        "export/edge/install.sh",
        "export/edge/Dockerfile",
    }
    for name in named:
        assert (ROOT / name).is_file()
    listed = set(re.findall(r"^\| `([^`/]+)` \|", (KIT / "README.md").read_text(), re.MULTILINE))
    assert listed == {"requirements.txt", "xraysr-watch.service", "Dockerfile", "install.sh"}
    assert listed | {"README.md"} == {path.name for path in KIT.iterdir()}


def test_the_readme_tells_the_programs_own_numbers():
    text = (KIT / "README.md").read_text("utf-8")
    seconds = [2.0 * polls for polls in watch.WAITS]
    assert seconds == [30, 300] and watch.TRIES == 3 and inbox.KILLS == 2
    assert "after 30 seconds and then every 5 minutes" in text
    assert "three times while others go through" in text
    for name in (inbox.PROCESSED, inbox.QUARANTINE):
        assert f"`INBOX/{name}/" in text
    for ending in inbox.UNFINISHED:
        assert ending in text


def test_requirements_are_those_of_the_package():
    config = ConfigParser()
    config.read(ROOT / "setup.cfg")
    lines = config["options"]["install_requires"].splitlines()
    package = {r.name: r for r in map(Requirement, (x for x in lines if x and x[0] != "#"))}
    lines = (KIT / "requirements.txt").read_text("utf-8").splitlines()
    active = [Requirement(line) for line in lines if line and not line.startswith("#")]
    optional = [Requirement(line[2:]) for line in lines if line.startswith("# pydicom")]
    assert {each.name for each in active} == {
        "ai-edge-litert", "numpy", "pillow", "typer", "rich",
    }  # fmt: skip
    assert [each.name for each in optional] == ["pydicom"]
    pins = dict(
        line.split("==") for line in (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    )
    for each in (*active, *optional):
        assert each.specifier == package[each.name].specifier
        assert each.specifier.contains(pins[each.name])


def test_systemd_takes_the_unit(tmp_path):
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd-analyze is not installed")
    copy = tmp_path / UNIT.name
    command = shlex.split(service("ExecStart"))[0]
    copy.write_text(UNIT.read_text("utf-8").replace(command, shutil.which("true") or ""))
    done = subprocess.run([analyze, "verify", copy], capture_output=True, text=True)
    assert done.returncode == 0 and not done.stderr, done.stderr
    copy.write_text(copy.read_text().replace("Restart=always", "Restart=allways"))
    slip = subprocess.run([analyze, "verify", copy], capture_output=True, text=True)
    assert "allways" in slip.stderr, "a slip would be found"


def test_systemd_finds_it_locked_in():
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd-analyze is not installed")
    done = subprocess.run(
        [analyze, "security", "--offline=true", "--threshold=15", UNIT],
        capture_output=True,
        text=True,
    )
    if "unrecognized option" in done.stderr:
        pytest.skip("systemd-analyze is too old to judge a file")
    assert done.returncode == 0, done.stdout


def test_the_unit_agrees_with_the_command_line_and_with_itself():
    program, *words = shlex.split(service("ExecStart"))
    assert_real(words)
    _, model, inbox_folder, out = words[:4]
    assert service("ReadWritePaths").split() == [inbox_folder, out]
    assert (service("ProtectSystem"), service("NoNewPrivileges")) == ("strict", "yes")
    assert (service("Restart"), service("User")) == ("always", service("Group"))
    assert int(service("TimeoutStopSec")) >= 60
    assert unit()["Unit"]["StartLimitIntervalSec"] == ["0"]
    assert unit()["Install"]["WantedBy"] == ["multi-user.target"]
    ceiling = float(words[words.index("--memory-mb") + 1])
    (limit,) = re.findall(r"^(\d+)G$", service("MemoryMax"))
    assert 4 * ceiling < 1000 * int(limit), "room for the film and the interpreter"
    for path in (program, model, inbox_folder, out):
        assert path in (KIT / "install.sh").read_text("utf-8") or path == program
    assert f"{Path(program).parent}/pip" in (KIT / "README.md").read_text("utf-8")
    assert unit()["Unit"]["Documentation"] == ["file:///opt/xraysr/README.md"]


def test_install_puts_everything_where_the_unit_looks(tmp_path):
    """With stand-ins that write down how they are called."""
    calls = tmp_path / "calls"
    for name in ("install", "getent", "useradd", "ln", "systemctl"):
        stub = tmp_path / "bin" / name
        stub.parent.mkdir(exist_ok=True)
        code = 2 if name == "getent" else 0
        stub.write_text(f'#!/bin/sh\necho {name} "$@" >> {calls}\nexit {code}\n')
        stub.chmod(0o755)
    script = ["/bin/sh", KIT / "install.sh"]
    environment = {"PATH": str(tmp_path / "bin")}
    bare = subprocess.run(script, env=environment, capture_output=True, text=True)
    assert bare.returncode != 0 and "Name the .tflite file" in bare.stderr
    assert not calls.exists()
    subprocess.run([*script, "edge.tflite"], env=environment, check=True, cwd=ROOT)
    _, model, inbox_folder, out = shlex.split(service("ExecStart"))[1:5]
    user = service("User")
    assert calls.read_text().splitlines() == [
        f"install -m 644 edge.tflite {model}",
        f"getent passwd {user}",
        f"useradd --system --user-group --no-create-home {user}",
        f"install -d -o {user} -g {service('Group')} -m 2770 {inbox_folder} {out}",
        "install -m 644 export/edge/xraysr-watch.service export/edge/README.md /opt/xraysr/",
        f"ln -sf /opt/xraysr/{UNIT.name} /etc/systemd/system/{UNIT.name}",
        "systemctl daemon-reload",
        "systemctl enable --now xraysr-watch",
    ]
    assert len((KIT / "install.sh").read_text().splitlines()) <= 20


def test_the_dockerfile_copies_what_is_there_onto_a_pinned_image():
    found = instructions()
    assert {name for name, _ in found} <= INSTRUCTIONS
    (base,) = (rest for name, rest in found if name == "FROM")
    assert re.fullmatch(r"python:3\.11\.\d+-slim-\w+", base)
    copied = [rest.split()[:-1] for name, rest in found if name == "COPY"]
    for source in (each for sources in copied for each in sources):
        assert (ROOT / source).exists(), source
    needed = {"setup.cfg", "setup.py", "pyproject.toml", "README.md", "LICENSE", "xraysr"}
    assert needed <= {each for sources in copied for each in sources}
    runs = " ".join(rest for name, rest in found if name == "RUN")
    assert "-c constraints.txt -r requirements.txt" in runs and "--no-deps ." in runs


def test_the_image_starts_as_nobody_with_a_command_line_that_is_real():
    found = dict(instructions())
    names = [name for name, _ in instructions()]
    assert found["USER"] not in ("root", "0")
    assert names.index("USER") > max(n for n, name in enumerate(names) if name == "RUN")
    program, *words = [*json.loads(found["ENTRYPOINT"]), *json.loads(found["CMD"])]
    assert program == "xraysr"
    assert_real(words)
    volumes = json.loads(found["VOLUME"])
    assert words[2:4] == volumes
    (run,) = (words for words in readme_commands() if words[:2] == ["docker", "run"])
    mounted = [word.split(":")[1] for word in run if word.count(":") >= 1 and word[0] in "$/"]
    assert mounted == [words[1], *volumes]
    (build,) = (words for words in readme_commands() if words[:2] == ["docker", "buildx"])
    comment = (KIT / "Dockerfile").read_text("utf-8").splitlines()[1]
    assert shlex.split(comment.lstrip("# ")) == build
