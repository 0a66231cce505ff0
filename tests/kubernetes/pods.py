"""Pods of the cluster in miniature: processes of this machine that take its paths for those of their container."""

import base64
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Image:
    """What stands for the container image: its environment, and where its paths are on this machine."""

    environment: Mapping[str, str]
    paths: Mapping[str, Path]


@dataclass
class Pod:
    """The one pod of a Job."""

    name: str
    manifest: dict
    folder: Path
    environment: dict[str, str]
    command: list[str]
    workdir: str
    process: subprocess.Popen | None = None
    deleted: bool = False

    @property
    def log(self) -> Path:
        return self.folder / "log"

    @property
    def exit_code(self) -> int | None:
        code = None if self.process is None else self.process.poll()
        return 128 - code if code is not None and code < 0 else code  # as a container's runtime counts signals

    @property
    def container(self) -> dict:
        return self.manifest["spec"]["template"]["spec"]["containers"][0]

    @property
    def rule(self) -> str | None:
        """The workflow's rule that a pod of the executor runs."""
        found = re.search(r"--allowed-rules '?(\w+)", self.container["args"][-1])
        return found and found[1]


def references_of(container):
    """The variables of a container that come from secrets: name, secret, key, and whether they may be absent.

    A secret taken as a whole has neither name nor key.
    """
    for variable in container.get("env") or []:
        if reference := (variable.get("valueFrom") or {}).get("secretKeyRef"):
            yield variable["name"], reference["name"], reference["key"], reference.get("optional", False)
    for source in container.get("envFrom") or []:
        yield None, source["secretRef"]["name"], None, source["secretRef"].get("optional", False)


def contents_of(secret):
    encoded = {key: base64.b64decode(value).decode() for key, value in (secret.get("data") or {}).items()}
    return encoded | (secret.get("stringData") or {})


def translated(text, paths):
    """Replace the absolute paths of a container by those of this machine."""
    for path in sorted(paths, key=len, reverse=True):
        text = re.sub(rf"(?<![\w./-]){re.escape(path)}(?![\w.-])", str(paths[path]), text)
    return text


def show_volume(source, path, image):
    """Show a volume inside a folder of the image: what runs there reaches it by relative paths."""
    for outer, folder in image.items():
        if path.startswith(f"{outer}/"):
            link = folder / path.removeprefix(f"{outer}/")
            link.unlink(missing_ok=True)
            link.symlink_to(source)


def status_of(pod):
    code = pod.exit_code
    state = {"waiting": {"reason": "ContainerCreating"}}
    if pod.process is not None:
        state = {"running": {}} if code is None else {"terminated": {"exitCode": code}}
    container = {"name": pod.container["name"], "image": pod.container["image"], "imageID": "", "ready": False}
    phase = "Pending" if pod.process is None else "Running" if code is None else "Failed" if code else "Succeeded"
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": pod.name},
        "status": {"phase": phase, "containerStatuses": [container | {"restartCount": 0, "state": state}]},
    }
