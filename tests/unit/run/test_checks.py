"""All that is wrong with a run is told at once, whatever else is wrong."""

from pathlib import Path

import pytest
from spoilt import FILE, SWEEP, changed, write_good

from dnd.run import checks


@pytest.fixture
def good(tmp_path, monkeypatch):
    """Values that are right, of a run whose probe has an image."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DND_STORE", raising=False)
    values = write_good(tmp_path)
    Path("images/one.jpg").write_bytes(b"")
    Path(FILE).write_text("run: demo\n")
    return values


def test_a_run_with_which_nothing_is_wrong(good):
    for look in (checks.thoroughly, checks.quickly):
        found = look(good, [FILE])
        assert (found.mistakes, found.tables.unknown) == ([], [])
        assert [layer.layer for layer in found.tables.layers] == ["layer4"]
    assert list(checks.thoroughly(good, [FILE]).probes) == ["photos"]


def test_mistakes_of_all_kinds_are_told_together(good):
    Path(FILE).write_text("run: demo\nrun: demo\nprobes: {photos: {seed: 5:30}}\n")
    Path("config/prompts/concept.yaml").write_text("{")
    Path("images/one.jpg").unlink()
    Path("config/sweep.tsv").write_text(
        f"{SWEEP}\nmine\tnet\tlayer4\tphotos\tdnd\t0-99\ntwo\tnet\tlayer4\tphotos\trival\t\n"
        "three\tnet\tlayer9\tphotos\tdnd\t\nfour\tnet\tlayer4\tphotos\tmasks\t\n"
    )
    values = changed(good, "recipes.dnd.generator.steps", 0)
    values = changed(values, "recipes.masks", {"method": "network-dissection"})
    values = changed(values, "audits", {"one": {"row": "none", "layer": "layer4", "units": "0"}})
    found = checks.thoroughly(values, [FILE, "config/more.yaml"])
    assert found.mistakes == [
        f"{FILE}, line 2: key 'run' is given twice",
        f"{FILE}, line 3: YAML 1.1 counts 5:30 in sixties; quote it, or write the number in tens",
        "config/more.yaml cannot be read: No such file or directory",
        f"{FILE} + config/more.yaml: recipes.dnd.generator.steps: Input should be greater than or equal to 1, not 0",
        f"{FILE} + config/more.yaml: recipes.dnd.concepts.prompt: config/prompts/concept.yaml, line 1: not YAML: "
        "expected the node content, but found '<stream end>'",
        found.mistakes[5],
        "config/sweep.tsv line 3: unknown recipe 'rival'; config.yaml has ['dnd', 'masks']",
        "config/sweep.tsv line 2: unit 99 of layer 'layer4', which has 32",
        "probes.photos.annotations: is missing; recipe 'masks', method network-dissection, needs pixel masks",
        "audits.one: config/sweep.tsv has no row 'none' with layer 'layer4'",
    ]
    assert found.mistakes[5].startswith(f"{FILE} + config/more.yaml: probes.photos.path: images holds no images (")
    assert [line.split(";")[0] for line in found.tables.unknown] == [
        "config/sweep.tsv line 4: unknown layer 'layer9' of model 'net'"
    ]


def test_rows_may_name_what_is_not_sound(good):
    """They are not wrong, too, and what they ask of it is looked at no further."""
    for place, value in {"models.net.source": "keras", "probes.photos.path": 3, "recipes.dnd.captions": ...}.items():
        found = checks.thoroughly(changed(good, place, value), [])
        assert len(found.mistakes) == 1
        assert found.mistakes[0].split(": ")[1].startswith(place.rpartition(".")[0])
    found = checks.thoroughly(changed(good, "models", 3), [])
    assert [line.split(": ")[1] for line in found.mistakes] == ["models"]


def test_jobs_look_at_no_file_again(good):
    Path("config/prompts/concept.yaml").write_text("{")
    assert len(checks.thoroughly(good, []).mistakes) == 1
    assert checks.quickly(good, []).mistakes == []


@pytest.mark.parametrize("place", ["results/demo", "results/demo/deep/store"])
def test_an_item_store_of_the_environment_inside_the_run(good, monkeypatch, place):
    monkeypatch.setenv("DND_STORE", place)
    (mistake,) = checks.thoroughly(good, [FILE]).mistakes
    assert mistake == f"{FILE}: run: $DND_STORE, {place}, is or lies in the results folder of the run; choose another"
    monkeypatch.setenv("DND_STORE", "elsewhere")
    assert checks.thoroughly(good, [FILE]).mistakes == []
