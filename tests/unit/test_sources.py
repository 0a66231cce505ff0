"""The digest of a stage's code follows what its script imports, and nothing else."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from dnd import sources

ROOT = Path(__file__).parents[2]
SCRIPTS = sorted((ROOT / "workflow/scripts").glob("*.py"))


def names(script):
    return {path.relative_to(sources.PACKAGE).with_suffix("").as_posix() for path in sources.modules(script)}


def test_imports_are_followed_through_other_modules():
    assert names(ROOT / "workflow/scripts/captions.py") >= {"captions", "pictures", "backends/captioner"}
    assert not names(ROOT / "workflow/scripts/captions.py") & {"scores", "report", "shapeworld/world"}


def test_imports_inside_functions_and_of_plain_modules_count(tmp_path):
    script = tmp_path / "script.py"
    script.write_text("import json\nimport dnd.folders\n\ndef late():\n    from dnd.pictures import decode\n")
    assert names(script) == {"folders", "pictures", "streams"}  # pictures imports streams


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_no_imported_module_is_missed(script):
    """Python's own account of what the script's imports load, minus the neutral modules and what only they load."""
    imports = "\n".join(re.findall(r"^(?:import|from) .*$", script.read_text(), re.M))
    code = imports + "\nimport sys\nprint(*(name for name in sys.modules if name.startswith('dnd.')))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    files = {name.removeprefix("dnd.").replace(".", "/") for name in loaded}
    modules = {name for name in files if (sources.PACKAGE / f"{name}.py").is_file()}
    assert modules - sources.NEUTRAL <= names(script)


def test_digest_changes_with_imported_code_and_with_nothing_else(tmp_path, monkeypatch):
    package = tmp_path / "dnd"
    package.mkdir()
    for name, text in {"a": "from dnd import b", "b": "x = 1", "c": "", "tables": ""}.items():
        (package / f"{name}.py").write_text(text)
    script, page = tmp_path / "script.py", tmp_path / "page.css"
    script.write_text("from dnd import a, tables")
    page.write_text("p {}")
    monkeypatch.setattr(sources, "PACKAGE", package)

    def digest():
        sources._imports.cache_clear()
        return sources.digest([script], [page])

    first = digest()
    for name in ("c", "tables"):
        (package / f"{name}.py").write_text("# a comment")
        assert digest() == first
    (package / "b.py").write_text("x = 2")
    second = digest()
    assert second != first
    page.write_text("p { color: red }")
    third = digest()
    assert third != second
    script.write_text("from dnd import a, tables\n\na.run()")
    fourth = digest()
    assert fourth != third
    script.touch()
    assert digest() == fourth


def test_digest_does_not_depend_on_where_scripts_lie(tmp_path, monkeypatch):
    """Snakemake hands over copies, which stand before the library's modules in the order of paths or behind them."""
    package = tmp_path / "m/dnd"
    package.mkdir(parents=True)
    (package / "b.py").write_text("x = 1")
    monkeypatch.setattr(sources, "PACKAGE", package)
    digests = set()
    for folder in ("a", "z"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "script.py").write_text("from dnd import b")
        digests.add(sources.digest([tmp_path / folder / "script.py"]))
    assert len(digests) == 1


def test_modules_are_located_as_an_import_would(tmp_path):
    for name in ("a/nets/__init__.py", "a/nets/small.py", "b/nets/small.py", "b/single.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    folders = [str(tmp_path / "none"), str(tmp_path / "a"), str(tmp_path / "b")]
    assert sources.located("nets.small", folders) == tmp_path / "a/nets/small.py"
    assert sources.located("nets", folders) == tmp_path / "a/nets/__init__.py"
    assert sources.located("single", folders) == tmp_path / "b/single.py"
    assert sources.located("nets.large", folders) is None
