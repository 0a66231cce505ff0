"""docs/build.py: what is laid out for the site, and what must not get into it."""

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
spec = importlib.util.spec_from_file_location("docs_build", ROOT / "docs/build.py")
build = importlib.util.module_from_spec(spec)
spec.loader.exec_module(build)

FRAME = '<a href="gone-from-the-frame.html">next</a><article>{}</article><footer id="foot"></footer>'


@pytest.fixture
def repository(tmp_path):
    """A repository of four files, two of them pages."""
    texts = {
        "README.md": "[![state](badge.svg)](state)\n# Nets\n\n[more](docs/more.md) [settings](config/a.yaml)\n",
        "docs/more.md": "# More\n\n[back](../README.md) ![plot](plots/b.svg)\n",
        "docs/plots/b.svg": "<svg/>",
        "config/a.yaml": "a: 1\n",
        "config/b.yaml": "b: 1\n",
    }
    for name, text in texts.items():
        (tmp_path / "repository" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "repository" / name).write_text(text)
    (tmp_path / "private.txt").write_text("outside")
    return tmp_path / "repository"


def site_of(folder, texts):
    """A site whose pages have these texts in the theme's frame."""
    for name, text in texts.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(FRAME.format(text))
    return folder


def test_pages_and_the_files_they_link_to_keep_their_paths(repository, tmp_path):
    build.lay_out(repository, ["README.md", "docs/more.md"], tmp_path / "pages")
    laid_out = {str(path.relative_to(tmp_path / "pages")) for path in (tmp_path / "pages").rglob("*.*")}
    assert laid_out == {"README.md", "docs/more.md", "docs/plots/b.svg", "config/a.yaml"}
    assert (tmp_path / "pages/README.md").read_text().startswith("# Nets\n"), "a badge is no part of the site"


def test_no_file_outside_the_repository_is_laid_out(repository, tmp_path):
    (repository / "README.md").write_text("# Nets\n\n[x](../private.txt)\n")
    build.lay_out(repository, ["README.md"], tmp_path / "pages" / "inner")
    assert not (tmp_path / "pages/private.txt").exists()


@pytest.mark.parametrize(
    ("link", "said"),
    [
        ('<img src="plots/none.png">', "plots/none.png leads to nothing"),
        ('<a href="../config/b.yaml">b</a>', "../config/b.yaml leads to nothing"),
        ('<a href="../config/">all</a>', "../config/ leads to nothing"),
        ('<a href="/index.html">start</a>', "/index.html leads to nothing"),
        ('<a href="../../outside.html">x</a>', "../../outside.html leads to nothing"),
        ('<a href="../index.html#nowhere">x</a>', "../index.html#nowhere leads to no heading"),
        ('<a href="#nowhere">x</a>', "#nowhere leads to no heading"),
    ],
)
def test_a_link_that_leads_nowhere_is_told_with_its_page(tmp_path, link, said):
    (tmp_path / "outside.html").write_text("")
    site = site_of(tmp_path / "site", {"index.html": '<h1 id="nets">Nets</h1>', "docs/more.html": link})
    sentences = list(build.dead_links(site, ["README.md", "docs/more.md"]))
    assert len(sentences) == 1
    assert sentences[0].startswith(f"docs/more.md: the link {said}")


def test_links_that_hold_are_not_told(tmp_path):
    links = '<h2 id="a-b">A B</h2><a href="#a-b">1</a><a href="../index.html#nets">2</a><a href="a%20b.svg">3</a>'
    links += '<a href="https://example.org/none#x">4</a><a href="mailto:x@example.org">5</a>'
    site = site_of(tmp_path, {"index.html": '<h1 id="nets">Nets</h1>', "docs/more.html": links})
    (tmp_path / "docs/a b.svg").write_text("<svg/>")
    assert list(build.dead_links(site, ["README.md", "docs/more.md"])) == []


@pytest.mark.parametrize(
    ("text", "html", "said"),
    [
        ("to do:\n- a\n- b\n", "<p>to do: - a - b</p>", ["<li>: 0 instead of 2"]),
        ("- a\n  - b\n", "<ul><li>a</li><li>b</li></ul>", []),
        ("| a |\n|---|\n| 1 |\n", "<p>| a |</p>", ["<table>: 0 instead of 1"]),
        ("```\nx\n```\n\n# T\n", "<p>x</p><h1>T</h1>", ["<pre>: 0 instead of 1"]),
    ],
)
def test_what_the_site_shows_otherwise_than_github_is_told(text, html, said):
    assert build.differences(text, FRAME.format(html)) == said


def test_a_page_of_the_folder_that_is_not_listed_is_told(repository, tmp_path):
    site = site_of(tmp_path / "site", {"index.html": "<h1>Nets</h1>"})
    assert "docs/more.md: the page is missing in zensical.toml" in build.faults(site, repository, ["README.md"])


def test_the_navigation_lists_pages_of_the_repository_at_every_depth():
    nav = [{"Start": "README.md"}, {"Guides": [{"More": "docs/more.md"}, {"Deep": [{"Deeper": "config/README.md"}]}]}]
    pages = list(build.listed(nav))
    assert pages == ["README.md", "docs/more.md", "config/README.md"]
    assert [build.html_path(page) for page in pages] == ["index.html", "docs/more.html", "config/index.html"]
