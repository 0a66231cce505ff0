"""The digest of a stage's code follows what its script imports, and nothing else."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from dnd.run import code_digest

ROOT = Path(__file__).parents[3]
SCRIPTS = sorted((ROOT / "workflow/scripts").glob("*.py"))


def names(script):
    return {path.relative_to(code_digest.PACKAGE).with_suffix("").as_posix() for path in code_digest.modules(script)}


def test_imports_are_followed_through_other_modules():
    assert names(ROOT / "workflow/scripts/captions.py") >= {"candidates/captions", "io/pictures", "backends/captioner"}
    assert not names(ROOT / "workflow/scripts/captions.py") & {"selection/scores", "report/site", "shapeworld/world"}


def test_imports_inside_functions_and_of_plain_modules_count(tmp_path):
    script = tmp_path / "script.py"
    script.write_text("import json\nimport dnd.probe.folders\n\ndef late():\n    from dnd.io.pictures import decode\n")
    assert names(script) == {"probe/folders", "io/pictures", "io/streams"}  # pictures imports streams


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_no_imported_module_is_missed(script):
    """Python's own account of what the script's imports load, minus the neutral modules and what only they load."""
    imports = "\n".join(re.findall(r"^(?:import|from) .*$", script.read_text(), re.M))
    code = imports + "\nimport sys\nprint(*(name for name in sys.modules if name.startswith('dnd.')))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    files = {name.removeprefix("dnd.").replace(".", "/") for name in loaded}
    modules = {name for name in files if (code_digest.PACKAGE / f"{name}.py").is_file()}
    neutral = {path.relative_to(code_digest.PACKAGE) for path in code_digest.neutral()}
    assert modules - {path.with_suffix("").as_posix() for path in neutral} <= names(script)


def test_digest_changes_with_imported_code_and_with_nothing_else(tmp_path, monkeypatch):
    package = tmp_path / "dnd"
    (package / "io").mkdir(parents=True)
    for name, text in {"a": "from dnd import b", "b": "x = 1", "c": "", "io/tables": ""}.items():
        (package / f"{name}.py").write_text(text)
    script, page = tmp_path / "script.py", tmp_path / "page.css"
    script.write_text("from dnd import a\nfrom dnd.io import tables")
    page.write_text("p {}")
    monkeypatch.setattr(code_digest, "PACKAGE", package)

    def digest():
        code_digest._imports.cache_clear()
        return code_digest.digest([script], [page])

    first = digest()
    for name in ("c", "io/tables"):
        (package / f"{name}.py").write_text("# a comment")
        assert digest() == first
    (package / "b.py").write_text("x = 2")
    second = digest()
    assert second != first
    page.write_text("p { color: red }")
    third = digest()
    assert third != second
    script.write_text("from dnd import a\nfrom dnd.io import tables\n\na.run()")
    fourth = digest()
    assert fourth != third
    script.touch()
    assert digest() == fourth


def test_digest_does_not_depend_on_where_scripts_lie(tmp_path, monkeypatch):
    """Snakemake hands over copies, which stand before the library's modules in the order of paths or behind them."""
    package = tmp_path / "m/dnd"
    package.mkdir(parents=True)
    (package / "b.py").write_text("x = 1")
    monkeypatch.setattr(code_digest, "PACKAGE", package)
    digests = set()
    for folder in ("a", "z"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "script.py").write_text("from dnd import b")
        digests.add(code_digest.digest([tmp_path / folder / "script.py"]))
    assert len(digests) == 1


def test_modules_are_located_as_an_import_would(tmp_path):
    for name in ("a/nets/__init__.py", "a/nets/small.py", "b/nets/small.py", "b/single.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    folders = [str(tmp_path / "none"), str(tmp_path / "a"), str(tmp_path / "b")]
    assert code_digest.located("nets.small", folders) == tmp_path / "a/nets/small.py"
    assert code_digest.located("nets", folders) == tmp_path / "a/nets/__init__.py"
    assert code_digest.located("single", folders) == tmp_path / "b/single.py"
    assert code_digest.located("nets.large", folders) is None
