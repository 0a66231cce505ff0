"""What docs/kubernetes.md tells to apply and to build: accepted by the API, and of one mind with the profile."""

import re
import subprocess

import pytest
from admission import check
from installation import PROFILE, ROOT, VENV, manifests, profile
from miniature import Cluster
from pods import Image


def one(kind):
    return next(manifest for manifest in manifests() if manifest["kind"] == kind)


def head():
    return one("Job")["spec"]["template"]["spec"]


@pytest.mark.parametrize("manifest", manifests(), ids=lambda manifest: manifest["kind"])
def test_manifests_are_accepted(manifest):
    assert check(manifest) == []


def test_head_and_profile_name_the_same_things():
    values = profile()
    claim, path = values["kubernetes-persistent-volumes"][0].split(":")
    (container,) = head()["containers"]
    assert container["image"] == values["container-image"]
    assert {manifest["metadata"].get("namespace", manifest["metadata"]["name"]) for manifest in manifests()} == {
        values["kubernetes-namespace"]
    }
    assert one("PersistentVolumeClaim")["metadata"]["name"] == claim
    assert {"name": claim, "mountPath": path} in container["volumeMounts"]
    for variable in container["env"]:
        assert f"{variable['name']}={variable['value']}" in values["precommand"].split()


def test_without_the_role_the_first_pod_is_forbidden(tmp_path, bucket):
    """The role of head.yaml is what lets a run create pods, and the cluster in miniature asks for it."""
    (tmp_path / "Snakefile").write_text("rule one:\n    output: 'one.txt'\n    shell: 'touch {output}'\n")
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    with Cluster(tmp_path, Image({}, {})) as cluster:
        environment = {
            "PATH": "/usr/bin:/bin",
            "HOME": str(tmp_path),
            "KUBECONFIG": str(cluster.kubeconfig("dnd-head")),
        }
        command = [VENV / "bin/snakemake", "--executor", "kubernetes", "--jobs", "1"]
        command += ["--default-storage-provider", "s3", "--default-storage-prefix", f"s3://{bucket.name}/role"]
        done = subprocess.run(
            command, cwd=tmp_path, env=environment | bucket.environment, capture_output=True, text=True, timeout=60
        )
    assert done.returncode != 0
    assert "secrets is forbidden" in done.stderr


def test_the_image_has_what_the_profile_expects_of_it():
    dockerfile = (ROOT / "envs/Dockerfile").read_text()
    copied = re.search(r"cp -R (\S+)/resources", profile()["precommand"])[1]
    assert f"COPY --chown=dnd:dnd . {copied}\n" in dockerfile
    assert head()["containers"][0]["workingDir"] == copied
    user = re.search(r"^USER (\d+):(\d+)$", dockerfile, re.MULTILINE)
    context = head()["securityContext"]
    assert [context["runAsUser"], context["runAsGroup"], context["fsGroup"]] == [
        int(user[1]),
        int(user[2]),
        int(user[2]),
    ]
    for name in re.findall(r"^COPY ((?:envs|profiles)\S+(?: (?:envs|profiles)\S+)*) ", dockerfile, re.MULTILINE):
        assert all((ROOT / path).exists() for path in name.split())


def test_the_patch_fits_the_pinned_plugins():
    done = subprocess.run(
        ["patch", "-p1", "--dry-run", "--fuzz=0", "-d", str(next(VENV.glob("lib/python*/site-packages")))],
        stdin=(PROFILE / "plugins.patch").open(),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout


def test_nothing_that_git_ignores_gets_into_the_image():
    def lines(name):
        text = (ROOT / name).read_text().splitlines()
        return {line.strip("/").removeprefix("**/") for line in text if line and not line.startswith("#")}

    assert lines(".gitignore") <= lines(".dockerignore")
