"""The library's rooms: nothing imports upwards or in circles, and what a dry run imports stays light."""

import ast
import subprocess
import sys

import house
import pytest

MODULES = sorted(house.modules())


def test_no_module_uses_a_higher_room_or_a_neighbour():
    assert house.against_the_levels() == []


def test_an_import_upwards_is_seen(monkeypatch, tmp_path):
    path = tmp_path / "tables.py"
    path.write_text("def late():\n    from dnd.selection import scores\n")
    monkeypatch.setattr(house, "modules", lambda: {"io.tables": path, "selection.scores": path, "selection": path})
    assert ("io.tables", "selection.scores") in house.against_the_levels()


def test_no_modules_import_each_other_in_a_circle(monkeypatch, tmp_path):
    assert house.circle() == []
    first, second = tmp_path / "a.py", tmp_path / "b.py"
    first.write_text("import dnd.io.b")
    second.write_text("from dnd.io import a")
    monkeypatch.setattr(house, "modules", lambda: {"io.a": first, "io.b": second})
    assert set(house.circle()) == {"io.a", "io.b"}


def test_every_module_has_a_room():
    beside = {module for module in MODULES if house.level(module) is None}
    assert beside <= {"", "__main__"}


@pytest.mark.parametrize("package", sorted(path.parent for path in house.PACKAGE.rglob("__init__.py")), ids=str)
def test_a_package_holds_no_code(package):
    """The digest of a stage's code does not read packages themselves."""
    if package != house.PACKAGE:
        tree = house.tree(package / "__init__.py")
        assert len(tree.body) == 1 and ast.get_docstring(tree)


def test_settings_files_and_tables_load_no_torch():
    light = [f"dnd.{module}" for module in MODULES if house.room(module) in ("io", "config")]
    code = f"import sys, {', '.join(light)}\nprint(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "dnd.io.tables" in loaded
    assert not {"torch", "torchvision", "transformers", "diffusers"} & set(loaded)


@pytest.mark.parametrize("folder", ["studies", "training", "benchmarks"])
def test_the_library_does_not_know_what_uses_it(folder):
    for path in house.modules().values():
        for node in ast.walk(house.tree(path)):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert folder not in {name.partition(".")[0] for name in names}, path
