"""A stand-in for the hub of models and datasets on the loopback interface: as much of its API as a download needs.

Repositories are folders, of models and of datasets; what is asked for is recorded, so that a test can tell what was
downloaded.
"""

import hashlib
import json
import re
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub:
    def __init__(self, url, repositories):
        self.url = url
        self.repositories = repositories
        self.downloaded = []
        self.gated = set()

    def files(self, repository):
        folder = self.repositories[repository]
        return {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}


@contextmanager
def serve(repositories):
    """Serve repositories (owner/name -> folder) while the context lasts."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_):
            pass

        def reply(self, status, body=b"", **headers):
            self.send_response(status)
            for name, value in {"Content-Length": len(body), "X-Repo-Commit": COMMIT, **headers}.items():
                self.send_header(name.replace("_", "-"), str(value))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        def answer(self):
            path = unquote(urlsplit(self.path).path)
            parts = re.sub(r"^/api/(models|datasets)|^/datasets", "", path).strip("/").split("/")
            repository, rest = "/".join(parts[:2]), parts[2:]
            if repository not in hub.repositories:
                return self.reply(401, X_Error_Code="RepoNotFound", X_Error_Message="Repository not found")
            if repository in hub.gated:
                return self.reply(403, X_Error_Code="GatedRepo", X_Error_Message="Access is restricted")
            files = hub.files(repository)
            if path.startswith("/api/"):
                kind, revision = (*rest, "main", "main")[:2]
                if revision not in ("main", COMMIT):
                    return self.reply(404, X_Error_Code="RevisionNotFound", X_Error_Message="Invalid rev id")
                if kind == "tree":
                    body = _tree(files, "/".join(rest[2:]), "recursive=false" not in self.path.lower())
                else:
                    body = {"id": repository, "sha": COMMIT, "siblings": [{"rfilename": name} for name in files]}
                return self.reply(200, json.dumps(body).encode(), Content_Type="application/json")
            name = "/".join(rest[2:])  # resolve, revision, file
            if name not in files:
                return self.reply(404, X_Error_Code="EntryNotFound")
            if self.command == "GET":
                hub.downloaded.append(f"{repository}/{name}")
            return self.reply(200, files[name].read_bytes(), ETag=f'"{_etag(files[name])}"')

        do_GET = do_HEAD = answer

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub = Hub(f"http://127.0.0.1:{server.server_port}", dict(repositories))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _tree(files, folder, recursive):
    """What a repository has below a folder; its folders, too, where it is not asked for what lies in them."""
    start = f"{folder}/" if folder else ""
    below = {name.removeprefix(start): file for name, file in files.items() if name.startswith(start)}
    found = [
        {"type": "file", "path": start + name, "size": file.stat().st_size, "oid": _etag(file)}
        for name, file in below.items()
        if recursive or "/" not in name
    ]
    folders = () if recursive else sorted({name.partition("/")[0] for name in below if "/" in name})
    return found + [{"type": "directory", "path": start + name, "oid": "0" * 40} for name in folders]


def _etag(file):
    return hashlib.sha1(file.read_bytes()).hexdigest()
