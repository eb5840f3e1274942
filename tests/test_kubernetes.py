"""export/training/job.yaml: by the schema, consistent in itself, and its script starts workers."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

MANIFEST = Path(__file__).parents[1] / "export" / "training" / "job.yaml"
STUB = """#!/bin/sh
echo "$TF_CONFIG"
for word in "$@"; do echo "$word"; done
"""


def documents() -> dict[str, Any]:
    return {each["kind"]: each for each in yaml.safe_load_all(MANIFEST.read_text("utf-8"))}


def container() -> dict[str, Any]:
    (only,) = documents()["Job"]["spec"]["template"]["spec"]["containers"]
    return only


def environment() -> dict[str, str]:
    return {each["name"]: each["value"] for each in container()["env"]}


@pytest.fixture
def start(tmp_path):
    """Runs start.sh as a pod would, with a stand-in for xraysr; (TF_CONFIG, its arguments)."""
    stub = tmp_path / "bin" / "xraysr"
    stub.parent.mkdir()
    stub.write_text(STUB)
    stub.chmod(0o755)
    script = tmp_path / "start.sh"
    script.write_text(documents()["ConfigMap"]["data"]["start.sh"])

    def run(**changes: str) -> tuple[dict[str, Any] | None, list[str]]:
        surroundings = {**environment(), "RUN": str(tmp_path / "run"), **changes}
        path = f"{stub.parent}:{os.environ['PATH']}"
        done = subprocess.run(
            [container()["command"][0], script],
            env={"PATH": path, **surroundings},
            capture_output=True,
            text=True,
            check=True,
        )
        config, *words = done.stdout.splitlines()
        return (json.loads(config), words) if words else (None, [config])

    return run


@pytest.mark.parametrize("version", ["1.29", "1.33", "1.37"])
@pytest.mark.parametrize("kind", ["Service", "PersistentVolumeClaim", "ConfigMap", "Job"])
def test_every_document_keeps_to_the_schema(kind, version):
    kubernetes_validate.validate(documents()[kind], version, strict=True)


def test_the_schema_would_find_a_slip():
    job = documents()["Job"]
    job["spec"]["completion"] = job["spec"].pop("completions")
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(job, "1.33", strict=True)


def test_the_parts_name_each_other():
    parts = documents()
    job, service = parts["Job"]["spec"], parts["Service"]
    pod = job["template"]["spec"]
    names = environment()
    assert names["NAME"] == parts["Job"]["metadata"]["name"] == service["metadata"]["name"]
    assert pod["subdomain"] == service["metadata"]["name"]
    assert service["spec"]["selector"].items() <= job["template"]["metadata"]["labels"].items()
    assert service["spec"]["clusterIP"] == "None"
    assert int(names["WORKERS"]) == job["completions"] == job["parallelism"]
    assert job["completionMode"] == "Indexed" and pod["restartPolicy"] == "OnFailure"
    volumes = {each["name"]: each for each in pod["volumes"]}
    assert volumes["start"]["configMap"]["name"] == parts["ConfigMap"]["metadata"]["name"]
    claim = volumes["shared"]["persistentVolumeClaim"]["claimName"]
    assert claim == parts["PersistentVolumeClaim"]["metadata"]["name"]
    mounts = {each["name"]: each["mountPath"] for each in container()["volumeMounts"]}
    assert container()["command"][1] == f"{mounts['start']}/start.sh"
    for name in ("RUN", "CACHE", "DATA"):
        assert names[name].startswith(f"{mounts['shared']}/")
    assert not names["RUN"].startswith(f"{names['DATA']}/")


@pytest.mark.parametrize("workers", [1, 2, 12])
def test_every_worker_gets_its_own_tf_config(start, workers):
    hosts = [f"xraysr-train-{index}.xraysr-train:2222" for index in range(workers)]
    for index in {0, workers - 1}:
        config, _ = start(WORKERS=str(workers), JOB_COMPLETION_INDEX=str(index))
        assert config == {
            "cluster": {"worker": hosts},
            "task": {"type": "worker", "index": index},
        }


def test_tf_distribute_reads_it(start, monkeypatch):
    import tensorflow as tf

    from xraysr.training.devices import cluster_size

    config, _ = start(JOB_COMPLETION_INDEX="1")
    monkeypatch.setenv("TF_CONFIG", json.dumps(config))
    resolver = tf.distribute.cluster_resolver.TFConfigClusterResolver()
    assert (resolver.task_type, resolver.task_id) == ("worker", 1)
    assert len(resolver.cluster_spec().as_dict()["worker"]) == cluster_size() == 2


def test_a_pod_that_starts_again_resumes_from_what_training_leaves(start, tmp_path):
    """The marks that the script looks for are those that a real run leaves."""
    import tensorflow as tf

    from xraysr.training.checkpoints import Checkpoints
    from xraysr.training.config import TrainConfig
    from xraysr.training.run import Run

    def words() -> list[str]:
        return start(JOB_COMPLETION_INDEX="0", DATA="gs://bucket/films")[1]

    fixed = ["train", "--out", str(tmp_path / "run"), "--data", "gs://bucket/films"]
    fixed += ["--cache", environment()["CACHE"]]
    assert words()[:7] == fixed
    assert "--overwrite" in words() and "--steps" in words() and "--resume" not in words()
    run = Run.create(tmp_path / "run", TrainConfig("16:64", steps=1, crop=16))
    assert "--overwrite" in words()  # begun, but nothing to go on from
    Checkpoints(run.path / "checkpoints", {"step": tf.Variable(0)}).save(0)
    assert words() == [*fixed, "--resume"]
    run.generator.touch()
    assert "finished" in words()[0]


def test_the_command_line_takes_what_the_script_says(start):
    from typer.main import get_command

    from xraysr.cli import app

    known = {name for option in get_command(app).commands["train"].params for name in option.opts}
    said = {word for word in start(JOB_COMPLETION_INDEX="0")[1] if word.startswith("--")}
    assert said <= known


def test_scripts_stay_short():
    assert len(documents()["ConfigMap"]["data"]["start.sh"].splitlines()) <= 20
