"""A site of a small run, and the system's Chromium to look at it with."""

from __future__ import annotations

import functools
import http.server
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import chromium
import pyarrow.parquet as pq
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright
from screens import DESKTOP

ROOT = Path(__file__).parents[2]
Open = Callable[..., Page]
PATIENCE = 15_000
"""Milliseconds until something that should appear is missing; a busy machine needs seconds."""
expect.set_options(timeout=PATIENCE)


@pytest.fixture(scope="session")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs, ``first`` and ``second``, each with its tables and its site; `dnd` lives in another environment."""
    folder = tmp_path_factory.mktemp("results")
    subprocess.run([ROOT / ".venv/bin/python", Path(__file__).with_name("sites.py"), folder], check=True)
    return folder


@pytest.fixture(scope="session")
def site(results: Path) -> str:
    """The address of the first run's site, opened from the disk."""
    return (results / "first/report/index.html").as_uri()


@pytest.fixture(scope="session")
def served(results: Path) -> Iterator[str]:
    """The same site's address on a web server."""

    class Silent(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

    handler = functools.partial(Silent, directory=str(results))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/first/report/index.html"
        server.shutdown()


@pytest.fixture(scope="session")
def described(results: Path) -> Callable[[str], list[dict[str, Any]]]:
    """Rows of DESCRIPTIONS of one of the first run's layers, such as ``ours/concepts``."""
    return lambda place: pq.read_table(results / "first" / place / "descriptions.parquet").to_pylist()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        own = playwright.chromium.launch(executable_path=chromium.found())
        yield own
        own.close()


class Watched:
    """A browser window that remembers whatever a site must not do."""

    def __init__(self, context: BrowserContext, folder: str) -> None:
        self.context, self.folder = context, folder
        self.faults: list[str] = []

    def page(self, address: str) -> Page:
        """Open a page."""
        page = self.context.new_page()
        page.set_default_timeout(PATIENCE)
        page.on("console", lambda one: self.faults.append(f"console: {one.text}") if one.type == "error" else None)
        page.on("pageerror", lambda error: self.faults.append(f"error: {error}"))
        page.on("dialog", lambda dialog: (self.faults.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        page.on("request", lambda request: self._inside(request.url))
        page.goto(address)
        return page

    def _inside(self, address: str) -> None:
        if not unquote(address).startswith((self.folder, "blob:", "data:")):
            self.faults.append(f"request: {address}")


@pytest.fixture
def open_site(browser: Browser, results: Path, site: str) -> Iterator[Open]:
    """A function that opens a route; no error, dialog or request to outside may follow, unless a test provokes it."""
    watched: list[Watched] = []

    def open_route(route: str = "#/", address: str = site, provoked: bool = False, **context: Any) -> Page:
        folder = results.as_uri() + "/" if address.startswith("file:") else address.split("/first/")[0] + "/"
        one = Watched(browser.new_context(**{"viewport": DESKTOP} | context), folder)
        contexts.append(one.context)
        if not provoked:
            watched.append(one)
        return one.page(address + route)

    contexts: list[BrowserContext] = []
    yield open_route
    for context in contexts:
        context.close()
    assert [fault for one in watched for fault in one.faults] == []
