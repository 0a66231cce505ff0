"""Build the documentation as a site, in site/: `python docs/build.py`, which `make docs` does.

Pages are GitHub Markdown and lie all over the repository; docs/zensical.toml lists them. They are laid out with the
files that they link to, each at its path in the repository, so that a relative link leads to the same thing here and
there. The build fails on a link or an anchor that leads nowhere (Zensical overlooks files and pictures), on a
page that is not listed, and on one that GitHub would show otherwise.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import unquote, urlsplit

from markdown_it import MarkdownIt

ROOT = Path(__file__).parents[1]
SETTINGS = ROOT / "docs/zensical.toml"
API = {
    "docs/api.md": "# From Python\n\n"
    "::: dnd.api.describe\n    options: {heading: dnd.describe}\n\n"
    "::: dnd.api.Descriptions\n    options: {heading: dnd.Descriptions}\n"
}
"""Pages that are made of docstrings: there is nothing to read in them on GitHub."""
BADGE = re.compile(r"^\[!\[.*\n", re.MULTILINE)
LINK = re.compile(r"\]\(([^)#\s]+)")
COUNTED = ("h1", "h2", "h3", "h4", "img", "li", "pre", "table")
"""Elements of which a page must have as many here as on GitHub."""


class Page(HTMLParser):
    """What a page links to, the anchors that it has, and its text's elements, counted."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.elements: Counter[str] = Counter()
        self._in_text = "<article" not in html
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take an element in."""
        self._in_text |= tag == "article"
        values = dict(attrs)
        self.links += [value for key in ("href", "src") if (value := values.get(key)) and self._in_text]
        self.anchors |= {value for key in ("id", "name") if (value := values.get(key))}
        self.elements[tag] += self._in_text

    def handle_endtag(self, tag: str) -> None:
        """Leave an element."""
        self._in_text &= tag != "article"


def listed(nav: Iterable[dict[str, Any]]) -> Iterator[str]:
    """Yield the paths of a navigation's pages."""
    for entry in nav:
        for target in entry.values():
            yield from [target] if isinstance(target, str) else listed(target)


def html_path(page: str) -> str:
    """Return where the site has a page: docs/models.html, or index.html for a README."""
    return re.sub(r"(README)?\.md$", lambda name: "index.html" if name[1] else ".html", page)


def read(file: Path) -> str:
    """Return a page's text without its badges, which say how the repository is and not the release."""
    return BADGE.sub("", file.read_text(encoding="utf-8"))


def lay_out(root: Path, pages: Iterable[str], folder: Path) -> None:
    """Copy pages, and the files of the repository that they link to, into a folder.

    Raises
    ------
    FileNotFoundError
        A page is not there.
    """
    for page in pages:
        text = read(root / page)
        place = folder / page
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text, encoding="utf-8")
        for link in LINK.findall(text):
            file = (root / page).parent.joinpath(unquote(link)).resolve()
            if file.is_file() and file.suffix != ".md" and file.is_relative_to(root):
                copy = folder / file.relative_to(root)
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, copy)


def dead_links(site: Path, pages: Iterable[str]) -> Iterator[str]:
    """Yield a sentence for each link of a page to a file or an anchor that the site lacks."""
    parsed = cache(lambda file: Page(file.read_text(encoding="utf-8")))
    for page in pages:
        here = site / html_path(page)
        for link in parsed(here).links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = here.parent.joinpath(unquote(parts.path)).resolve() if parts.path else here.resolve()
            if parts.path.startswith("/") or not target.is_file() or not target.is_relative_to(site.resolve()):
                yield f"{page}: the link {link} leads to nothing that the site has"
            elif target.suffix == ".html" and parts.fragment and unquote(parts.fragment) not in parsed(target).anchors:
                yield f"{page}: the link {link} leads to no heading of its page"


def differences(text: str, html: str) -> list[str]:
    """Return what a page has more or less of than GitHub shows, such as ``<li>: 14 instead of 16``.

    Zensical wants an empty line before a list and four columns for a nested one; GitHub does not.
    """
    github = Page(MarkdownIt("commonmark").enable("table").render(text)).elements
    here = Page(html).elements
    return [f"<{tag}>: {here[tag]} instead of {github[tag]}" for tag in COUNTED if here[tag] != github[tag]]


def faults(site: Path, root: Path, pages: Sequence[str]) -> Iterator[str]:
    """Yield a sentence for each thing that is wrong with the site of the pages of a repository."""
    for file in sorted(root.glob("docs/**/*.md")):
        if file.relative_to(root).as_posix() not in pages:
            yield f"{file.relative_to(root)}: the page is missing in {SETTINGS.name}"
    yield from dead_links(site, pages)
    for page in pages:
        if page not in API and (others := differences(read(root / page), read(site / html_path(page)))):
            yield f"{page}: not as on GitHub, {', '.join(others)}; an empty line before a list may help"


def main() -> int:
    """Build the site, or say what is wrong; the site that was there before stays then."""
    output = ROOT / "site"
    pages = list(listed(tomllib.loads(SETTINGS.read_text(encoding="utf-8"))["project"]["nav"]))
    with TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copy(SETTINGS, folder)
        (folder / "src").symlink_to(ROOT / "src")
        lay_out(ROOT, [page for page in pages if page not in API], folder / "pages")
        shutil.copy(ROOT / "docs/site.css", folder / "pages/docs")
        for page, text in API.items():
            (folder / "pages" / page).write_text(text, encoding="utf-8")
        if subprocess.run([sys.executable, "-m", "zensical", "build", "--strict"], cwd=folder).returncode:
            return 1
        if wrong := list(faults(folder / "site", ROOT, pages)):
            print(*wrong, sep="\n", file=sys.stderr)
            return 1
        shutil.rmtree(output, ignore_errors=True)
        shutil.move(folder / "site", output)
    print(f"wrote {output}/index.html")
    return 0


if __name__ == "__main__":
    sys.exit(main())
