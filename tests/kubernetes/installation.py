"""What a user installs and starts, as files and objects for tests."""

import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import boto3
import yaml
from miniature import ADMINISTRATOR, Cluster
from pods import Pod

ROOT = Path(__file__).parents[2]
VENV = ROOT / ".venv"
PROFILE = ROOT / "profiles/kubernetes"
THREADS = 3  # of the large rules, instead of the profile's: the pods of a test share a small machine
KEYS = {"aws_access_key_id": "key", "aws_secret_access_key": "secret"}


@dataclass(frozen=True)
class Bucket:
    """An S3 server with one bucket."""

    endpoint: str
    name: str

    @property
    def environment(self):
        """What a user sets for it."""
        return {
            "SNAKEMAKE_STORAGE_S3_ENDPOINT_URL": self.endpoint,
            "SNAKEMAKE_STORAGE_S3_ACCESS_KEY": KEYS["aws_access_key_id"],
            "SNAKEMAKE_STORAGE_S3_SECRET_KEY": KEYS["aws_secret_access_key"],
        }

    @property
    def _content(self):
        return boto3.resource("s3", endpoint_url=self.endpoint, region_name="us-east-1", **KEYS).Bucket(self.name)

    def create(self):
        self._content.create()

    def read(self, key):
        return self._content.Object(key).get()["Body"].read()


def checkout(folder):
    """Copy what git would commit, as a repository of its own."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name, follow_symlinks=False)
    subprocess.run(["git", "init", "--quiet"], cwd=folder, check=True)
    subprocess.run(["git", "add", "--all"], cwd=folder, check=True)
    return folder


def environment_of_image(folder, sources):
    """An environment like the image's: that of this machine, with patched plugins and the image's own package."""
    subprocess.run([VENV / "bin/python", "-m", "venv", "--without-pip", folder], check=True)
    packages = next(folder.glob("lib/python*/site-packages"))
    below = next(VENV.glob("lib/python*/site-packages"))
    for plugin in ("snakemake_executor_plugin_kubernetes", "snakemake_storage_plugin_s3"):
        shutil.copytree(below / plugin, packages / plugin)
    with (PROFILE / "plugins.patch").open() as patch:
        subprocess.run(["patch", "-p1", "--fuzz=0"], cwd=packages, stdin=patch, check=True, capture_output=True)
    (packages / "below.pth").write_text(f"{sources}/src\nimport site; site.addsitedir({str(below)!r})\n")
    (folder / "bin/snakemake").write_text(f"#!{folder}/bin/python\nfrom snakemake.cli import main\n\nmain()\n")
    (folder / "bin/pip").write_text("#!/bin/sh\necho 'no package index can be reached' >&2\nexit 1\n")
    for name in ("snakemake", "pip"):
        (folder / "bin" / name).chmod(0o755)
    return folder


def manifests():
    return list(yaml.safe_load_all((PROFILE / "head.yaml").read_text()))


def profile():
    return yaml.safe_load((PROFILE / "config.yaml").read_text())


def reduced():
    """The demonstration on four units, as files of a user's own."""
    values = yaml.safe_load((ROOT / "config/config.yaml").read_text())
    values |= {"run": "tiny", "sweep": "my/sweep.tsv"}
    values["probes"]["shapes"] |= {"images": 160, "shards": 1}
    values["shards"] |= {"images": 1}
    recipe = values["recipes"]["dnd"]
    recipe |= {"controls": 32, "scores": {}}  # a fitted file holds for other settings
    recipe["generator"] |= {"steps": 4, "images": 5}
    rows = [
        ["name", "model", "layers", "probe", "recipe", "units"],
        ["classes", "conceptnet", "fc", "shapes", "dnd", "0-3"],
    ]
    return {
        "config.yaml": yaml.safe_dump(values),
        "sweep.tsv": "".join("\t".join(row) + "\n" for row in rows),
        "layers.tsv": (ROOT / "config/layers.tsv").read_text(),
    }


@dataclass
class Run:
    """A finished run, and the same on this machine."""

    cluster: Cluster
    head: Pod
    bucket: Bucket
    local: Path

    @property
    def pods(self):
        return [pod for pod in self.cluster.pods.values() if pod.rule]

    def again(self):
        """Start the head anew, as after its node was lost."""
        namespace = self.head.manifest["metadata"]["namespace"]
        self.cluster.answer("DELETE", f"/apis/batch/v1/namespaces/{namespace}/jobs/dnd-head", ADMINISTRATOR, None)
        self.cluster.pods.pop("dnd-head")
        shutil.rmtree(self.head.folder)
        self.cluster.apply([self.head.manifest])
        return finish(self.cluster.pods["dnd-head"])


def finish(pod, seconds=1200):
    deadline = time.monotonic() + seconds
    while pod.exit_code is None:
        assert time.monotonic() < deadline, pod.log.read_text()[-5000:]
        time.sleep(0.2)
    return pod


def configmap(name, files):
    metadata = {"name": name, "namespace": "dnd"}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": files}
