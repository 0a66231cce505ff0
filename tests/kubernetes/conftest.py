"""A bucket, a stand-in for the image, and one run of the reduced demonstration on the cluster in miniature."""

import os
import re
import signal
import socket
import subprocess
import time

import pytest
import yaml
from installation import (
    ROOT,
    THREADS,
    VENV,
    Bucket,
    Run,
    checkout,
    configmap,
    environment_of_image,
    finish,
    manifests,
    profile,
    reduced,
)
from miniature import Cluster
from pods import Image

# A shell's background jobs are deaf to SIGINT, and so would be every head that they start.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def bucket(tmp_path_factory):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = tmp_path_factory.mktemp("s3") / "log"
    with log.open("wb") as out:
        command = [ROOT / ".venv-moto/bin/moto_server", "-H", "127.0.0.1", "-p", str(port)]
        server = subprocess.Popen(command, stdout=out, stderr=out)
    try:
        deadline = time.monotonic() + 60
        while True:
            assert server.poll() is None and time.monotonic() < deadline, log.read_text()
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                time.sleep(0.1)
        found = Bucket(f"http://127.0.0.1:{port}", "my-bucket")
        found.create()
        yield found
    finally:
        server.terminate()
        server.wait()


@pytest.fixture(scope="session")
def image(tmp_path_factory):
    """What a container would have: the Dockerfile's variables and folders, no registry of packages, no hub."""
    folder = tmp_path_factory.mktemp("image")
    text = (ROOT / "envs/Dockerfile").read_text().replace("\\\n", " ")
    environment = dict(re.findall(r"(\w+)=(\S+)", " ".join(re.findall(r"^ENV (.+)", text, re.MULTILINE))))
    environment["PATH"] = environment["PATH"].replace("$PATH", "/usr/local/bin:/usr/bin:/bin")
    (folder / "home").mkdir()
    environment |= {"HOME": str(folder / "home"), "https_proxy": "http://127.0.0.1:9", "no_proxy": "127.0.0.1"}
    (folder / "dnd").mkdir()
    sources = checkout(folder / "dnd")
    vision = environment_of_image(folder / "vision", sources)
    return Image(environment, {"/opt/dnd": sources, "/opt/vision": vision, "/opt/vllm": ROOT / ".venv-vllm"})


@pytest.fixture(scope="session")
def run(tmp_path_factory, bucket, image):
    """Follow docs/kubernetes.md from an empty cluster to the end of a run, and meanwhile run the same without it."""
    local = checkout(tmp_path_factory.mktemp("local"))
    (local / "my").mkdir()
    for name, text in reduced().items():
        (local / "my" / name).write_text(text)
    values = profile() | {"seconds-between-status-checks": 1}
    # the same number on both sides: sums in another order differ in their last digit
    values["set-threads"] = dict.fromkeys(values["set-threads"], THREADS)
    environment = os.environ | {
        "DND_VLLM_PYTHON": str(ROOT / ".venv-vllm/bin/python"),
        "PYTHONPATH": str(local / "src"),
    }
    with (local / "log").open("wb") as log:
        command = [VENV / "bin/snakemake", "--configfile", "my/config.yaml", "--cores", str(THREADS), "--set-threads"]
        command += [f"{rule}={threads}" for rule, threads in values["set-threads"].items()]
        reference = subprocess.Popen(command, cwd=local, env=environment, stdout=log, stderr=log)
    *objects, head = manifests()
    for manifest in objects:
        if manifest["kind"] == "Secret":
            manifest["stringData"] = bucket.environment
    with Cluster(tmp_path_factory.mktemp("cluster"), image) as cluster:
        cluster.apply(objects)
        cluster.apply(
            [configmap("dnd-profile", {"config.yaml": yaml.safe_dump(values)}), configmap("dnd-config", reduced())]
        )
        cluster.apply([head])
        pod = finish(cluster.pods["dnd-head"])
        assert reference.wait(timeout=600) == 0, (local / "log").read_text()[-5000:]
        yield Run(cluster, pod, bucket, local)
