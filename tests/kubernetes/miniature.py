"""A Kubernetes cluster in miniature, on the loopback interface: an API server, and pods that are local processes.

The server refuses what :mod:`admission` finds, and what the account of the caller may not do by the Role objects that
it was given. A pod is the container's command with the paths of the image and of mounted volumes replaced by those of
this machine, and with no environment but that of the image and of the pod.
"""

import json
import os
import re
import signal
import subprocess
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlparse

import yaml
from admission import check
from pods import Image, Pod, contents_of, references_of, show_volume, status_of, translated

ADMINISTRATOR = "administrator"
ROUTE = re.compile(
    r"/(?:api|apis/(?P<group>[^/]+))/v1(?:/namespaces/(?P<namespace>[^/]+))?"
    r"/(?P<resource>[a-z]+)(?:/(?P<name>[^/]+)(?:/(?P<part>[a-z]+))?)?"
)
GROUPS = {"Job": "batch", "Role": "rbac.authorization.k8s.io", "RoleBinding": "rbac.authorization.k8s.io"}


class Refusal(Exception):
    """An answer with another status than success."""

    def __init__(self, code: int, reason: str, message: str):
        super().__init__(message)
        self.code, self.reason = code, reason


@dataclass
class Cluster:
    """Everything that was posted, and the pods that came of it.

    Attributes
    ----------
    folder : gets the pods' folders and the contents of claims.
    image : what every container image is.
    namespaces : those that exist.
    at_once : pods that run at the same time, others wait; a pod whose container is called ``head`` waits for none.
    broken : (verb, resource) -> how many of the next such requests get status 500.
    refused : the violations of every refused manifest.
    """

    folder: Path
    image: Image
    namespaces: set[str] = field(default_factory=lambda: {"default"})
    at_once: int = 2
    objects: dict[tuple[str, str, str], dict] = field(default_factory=dict)
    pods: dict[str, Pod] = field(default_factory=dict)
    calls: list[tuple[str, str, str]] = field(default_factory=list)
    broken: dict[tuple[str, str], int] = field(default_factory=dict)
    refused: list[list[str]] = field(default_factory=list)
    tokens: dict[str, str] = field(default_factory=lambda: {ADMINISTRATOR: ADMINISTRATOR})

    def __enter__(self):
        self.lock = threading.RLock()
        self.room = threading.Semaphore(self.at_once)
        handler = type("Handler", (_Handler,), {"cluster": self})
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        for pod in list(self.pods.values()):
            self.stop(pod)
        self.server.shutdown()
        self.server.server_close()

    def kubeconfig(self, account: str = ADMINISTRATOR, namespace: str = "default") -> Path:
        """Return a file with which a client acts as the administrator or as a service account."""
        self.tokens[account] = account
        path = self.folder / f"kubeconfig-{account}"
        context = {"cluster": "one", "user": "one", "namespace": namespace}
        values = {
            "clusters": [
                {"name": "one", "cluster": {"server": f"http://127.0.0.1:{self.server.server_address[1]}"}},
            ],
            "users": [{"name": "one", "user": {"token": account}}],
            "contexts": [{"name": "one", "context": context}],
            "current-context": "one",
        }
        path.write_text(yaml.safe_dump(values))
        return path

    def apply(self, manifests: Sequence[dict]) -> None:
        """Create objects as ``kubectl apply`` does."""
        for manifest in manifests:
            resource = manifest["kind"].lower() + "s"
            namespace = manifest.get("metadata", {}).get("namespace", "default")
            self.create(resource, namespace, manifest)

    # ---- objects --------------------------------------------------------------------------------------------------

    def create(self, resource: str, namespace: str, manifest: dict) -> dict:
        if manifest.get("apiVersion") is None:  # the client library leaves both out of what it posts
            kind = {"jobs": "Job", "secrets": "Secret"}[resource]
            version = "batch/v1" if kind == "Job" else "v1"
            manifest = {"apiVersion": version, "kind": kind, **manifest}
        errors = check(manifest)
        if resource == "jobs" and not errors:
            errors += self._starts(manifest["spec"]["template"]["spec"], namespace)
        if errors:
            self.refused.append(errors)
            raise Refusal(422, "Invalid", "; ".join(errors))
        name = manifest["metadata"]["name"]
        if resource == "namespaces":
            self.namespaces.add(name)
        elif namespace not in self.namespaces:
            raise Refusal(404, "NotFound", f"namespaces {namespace!r} not found")
        key = resource, namespace, name
        if key in self.objects:
            raise Refusal(409, "AlreadyExists", f"{resource} {name!r} already exists")
        self.objects[key] = manifest
        if resource == "jobs":
            self._start(name, namespace, manifest)
        return manifest

    def _starts(self, spec, namespace):
        """A real server accepts what is found here, and the pod then waits for ever; a test should not."""
        names = {kind: {n for r, s, n in self.objects if (r, s) == (kind, namespace)} for kind, *_ in self.objects}
        for volume in spec.get("volumes") or []:
            claim = volume.get("persistentVolumeClaim")
            if claim and claim["claimName"] not in names.get("persistentvolumeclaims", ()):
                yield f"the pod would wait for the claim {claim['claimName']!r}"
        account = spec.get("serviceAccountName", "default")
        if account != "default" and account not in names.get("serviceaccounts", ()):
            yield f"the pod would wait for the service account {account!r}"
        for container in spec["containers"]:
            for _, secret, key, optional in references_of(container):
                held = self.objects.get(("secrets", namespace, secret))
                if not optional and (held is None or (key is not None and key not in contents_of(held))):
                    yield f"the pod would wait for key {key!r} of the secret {secret!r}"

    def _start(self, name, namespace, manifest):
        spec = manifest["spec"]["template"]["spec"]
        folder = self.folder / "pods" / name
        folder.mkdir(parents=True)
        sources = {}
        for volume in spec.get("volumes") or []:
            if claim := volume.get("persistentVolumeClaim"):
                sources[volume["name"]] = self.folder / "claims" / claim["claimName"]
            else:
                sources[volume["name"]] = folder / volume["name"]
            if "configMap" in volume:
                held = self.objects.get(("configmaps", namespace, volume["configMap"]["name"]))
                if held is None:
                    continue
                sources[volume["name"]].mkdir()
                for key, text in held["data"].items():
                    (sources[volume["name"]] / key).write_text(text)
            sources[volume["name"]].mkdir(parents=True, exist_ok=True)
        container = spec["containers"][0]
        paths = dict(self.image.paths)
        for mount in container.get("volumeMounts") or []:
            paths[mount["mountPath"]] = sources[mount["name"]] / mount.get("subPath", "")
            if sources[mount["name"]].exists():
                paths[mount["mountPath"]].mkdir(parents=True, exist_ok=True)
                show_volume(paths[mount["mountPath"]], mount["mountPath"], self.image.paths)
        environment = {**self.image.environment}
        for variable in container.get("env") or []:
            environment[variable["name"]] = variable.get("value", "")
        for variable, secret, key, _ in references_of(container):
            held = contents_of(self.objects.get(("secrets", namespace, secret), {}))
            environment |= {variable: held[key]} if key in held else held if key is None else {}
        if account := spec.get("serviceAccountName"):
            environment["KUBECONFIG"] = str(self.kubeconfig(account, namespace))
        pod = Pod(
            name=f"{name}-x7k2p",
            manifest=manifest,
            folder=folder,
            environment={key: translated(value, paths) for key, value in environment.items()},
            command=[translated(word, paths) for word in [*container["command"], *container.get("args", [])]],
            workdir=translated(container.get("workingDir", "/"), paths),
        )
        self.pods[name] = pod
        threading.Thread(target=self._run, args=(pod, container["name"] != "head"), daemon=True).start()

    def _run(self, pod, takes_room):
        if takes_room:
            self.room.acquire()
        try:
            with self.lock:
                if pod.deleted:
                    return
                with pod.log.open("wb") as log:
                    pod.process = subprocess.Popen(
                        pod.command,
                        cwd=pod.workdir,
                        env=pod.environment,
                        stdin=subprocess.DEVNULL,
                        stdout=log,
                        stderr=log,
                        start_new_session=True,
                    )
            pod.process.wait()
        finally:
            if takes_room:
                self.room.release()

    def stop(self, pod: Pod) -> None:
        """End a pod and everything that it started."""
        with self.lock:
            pod.deleted = True
            if pod.process is not None and pod.process.poll() is None:
                os.killpg(pod.process.pid, signal.SIGKILL)

    # ---- requests -------------------------------------------------------------------------------------------------

    def answer(self, method: str, url: str, token: str, body: dict | None):
        """Return the object, or the text of a log."""
        parsed = urlparse(url)
        query = {key: values[0] for key, values in parse_qs(parsed.query).items()}
        route = ROUTE.fullmatch(parsed.path)
        if route is None:
            raise Refusal(404, "NotFound", f"no such path: {parsed.path}")
        group, namespace, resource, name, part = route.group("group", "namespace", "resource", "name", "part")
        verb = {"POST": "create", "DELETE": "delete", "GET": "get" if name else "list"}[method]
        full = f"{resource}/{part}" if part else resource
        with self.lock:
            self.calls.append((verb, group or "", full))
            self._authorise(token, verb, group or "", full, namespace)
            if self.broken.get((verb, full), 0) > 0:
                self.broken[verb, full] -= 1
                raise Refusal(500, "InternalError", "etcdserver: request timed out")
            if verb == "create":
                return self.create(resource, namespace, body)
            if resource == "pods":
                return self._pods(verb, name, part, query)
            return self._one(verb, resource, namespace, name)

    def _authorise(self, token, verb, group, resource, namespace):
        account = self.tokens.get(token)
        if account is None:
            raise Refusal(401, "Unauthorized", "Unauthorized")
        if account == ADMINISTRATOR:
            return
        for (kind, where, _), binding in self.objects.items():
            names = {one["name"] for one in binding.get("subjects") or []} if kind == "rolebindings" else set()
            if where != namespace or account not in names:
                continue
            for rule in self.objects["roles", namespace, binding["roleRef"]["name"]]["rules"]:
                if verb in rule["verbs"] and group in rule["apiGroups"] and resource in rule["resources"]:
                    return
        message = f"{resource} is forbidden: User {account!r} cannot {verb} resource {resource!r} in {namespace!r}"
        raise Refusal(403, "Forbidden", message)

    def _one(self, verb, resource, namespace, name):
        key = resource, namespace, name
        if key not in self.objects:
            raise Refusal(404, "NotFound", f"{resource} {name!r} not found")
        if verb == "delete":
            del self.objects[key]
            if resource == "jobs":
                self.stop(self.pods[name])
            return {"kind": "Status", "apiVersion": "v1", "status": "Success"}
        if resource != "jobs":
            return self.objects[key]
        code = self.pods[name].exit_code
        status = {"active": 1} if code is None else {"failed": 1} if code else {"succeeded": 1}
        return self.objects[key] | {"status": status}

    def _pods(self, verb, name, part, query):
        if verb == "list":
            job = query["labelSelector"].removeprefix("job-name=")
            pods = [pod for key, pod in self.pods.items() if key == job and not pod.deleted]
            return {"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": [status_of(pod) for pod in pods]}
        pod = next((pod for pod in self.pods.values() if pod.name == name and not pod.deleted), None)
        if pod is None:
            raise Refusal(404, "NotFound", f"pods {name!r} not found")
        if part == "log":
            if query.get("previous", "false").lower() not in {"false", "0"}:  # our pods never restart
                container = query.get("container")
                raise Refusal(400, "BadRequest", f"previous terminated container {container!r} in pod not found")
            return pod.log.read_text(errors="replace")
        if verb == "delete":
            self.stop(pod)
        return status_of(pod)


class _Handler(BaseHTTPRequestHandler):
    cluster: Cluster

    def _handle(self):
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length)) if length else None
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        try:
            answer, code = self.cluster.answer(self.command, self.path, token, body), 200
        except Refusal as refusal:
            code = refusal.code
            answer = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code}
            answer |= {"reason": refusal.reason, "message": str(refusal)}
        text = isinstance(answer, str)
        payload = (answer if text else json.dumps(answer)).encode()
        self.send_response(code)
        self.send_header("Content-Type", "text/plain" if text else "application/json")
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    do_GET = do_POST = do_DELETE = _handle

    def log_message(self, *_):
        pass
