"""A run's provenance: what jobs say of themselves is summed up, and what is printed of it repeats the run."""

import hashlib
import json
import subprocess
from pathlib import Path

import pytest
import yaml
from handmade import origin, png, write_probe

from dnd.config import layer_table, load, sweep
from dnd.io import schemas, tables
from dnd.run import provenance

ROOT = Path(__file__).parents[3]
COMMITS = [letter * 40 for letter in "abc"]


def values():
    """A configuration with models and images of a hub."""
    found = yaml.safe_load((ROOT / "config/config.yaml").read_text())
    found["models"] |= {
        "vit": {"source": "transformers", "factory": "owner/vit", "revision": "v1"},
        "resnet": {"source": "torchvision", "factory": "resnet50", "weights": "IMAGENET1K_V2"},
    }
    found["probes"]["photos"] = {"source": "huggingface", "dataset": "owner/photos", "split": "test", "sample": 9}
    found["recipes"]["dnd"]["captions"] = {"model": "owner/captioner"}
    found["recipes"]["older"] = found["recipes"]["dnd"] | {
        "captions": {"model": "owner/captioner", "revision": "v0"},
        "concepts": {"prompt": "config/prompts/concept.yaml"},
    }
    return found


@pytest.fixture
def recorded(tmp_path):
    """The provenance of a run of hand-made tables, written."""
    results = tmp_path / "results/demo"
    images = {f"{i}.png": png([[[i, i, i]]]) for i in range(3)}
    made = {
        "probe": [results / f"probe/shapes/images-0000{i}.parquet" for i in range(2)],
        "captions": [results / f"planted/fc/captions/{i}.parquet" for i in range(2)],
        "descriptions": [results / "planted/fc/descriptions.parquet"],
    }
    write_probe(made["probe"][0], {name: images[name] for name in ("0.png", "1.png")})
    write_probe(made["probe"][1], {"2.png": images["2.png"]})
    for path, said in zip(made["captions"], (origin(), origin(models={"owner/captioner@v0": COMMITS[1]})), strict=True):
        tables.write(path, schemas.CAPTIONS.empty_table(), schemas.CAPTIONS, origin=said)
    tables.write(made["descriptions"][0], schemas.DESCRIPTIONS.empty_table(), schemas.DESCRIPTIONS)
    weights = tmp_path / "weights.pt"
    weights.write_bytes(b"abc")
    found = provenance.record(
        load.load(values()),
        sweep=[dict(zip(sweep.SWEEP_COLUMNS, ("planted", "conceptnet", "fc", "shapes", "dnd", "0-3"), strict=True))],
        layers=[dict(zip(layer_table.LAYER_COLUMNS, ("conceptnet", "fc", "fc", "36"), strict=True))],
        code={"probe": "p0", "captions": "c0", "descriptions": "d0"},
        factories={"conceptnet": "f0"},
        made=made,
        files=[weights],
        workflow=tmp_path,
    )
    provenance.write(results / "provenance.json", found)
    return results / "provenance.json"


def test_a_probe_has_one_digest_whatever_its_shards_and_names(tmp_path):
    images = [png([[[i, 0, 0]]]) for i in range(3)]
    one = [write_probe(tmp_path / "one.parquet", dict(zip("abc", images, strict=True)))]
    two = [
        write_probe(tmp_path / "0.parquet", {"x": images[2]}),
        write_probe(tmp_path / "1.parquet", {"y": images[0], "z": images[1]}),
    ]
    lines = "\n".join(sorted(hashlib.sha256(image).hexdigest() for image in images))
    assert provenance.probe_digest(one) == provenance.ProbeDigest(
        images=3, digest=hashlib.sha256(lines.encode()).hexdigest()
    )
    assert provenance.probe_digest(two) == provenance.probe_digest(one)
    assert provenance.probe_digest(two[1:]).digest != provenance.probe_digest(one).digest


def test_what_is_written(recorded):
    text = recorded.read_text()
    found = json.loads(text)
    assert text == json.dumps(found, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    assert [path.name for path in recorded.parent.iterdir() if path.is_file()] == ["provenance.json"]
    keys = "run written workflow config sweep layers stages models inputs seeds results"
    assert sorted(found) == sorted(keys.split())
    assert found["run"] == "demo"
    assert {stage: (one["code"], one["jobs"], one["recorded"]) for stage, one in found["stages"].items()} == {
        "probe": ("p0", 2, 0),
        "captions": ("c0", 2, 2),
        "descriptions": ("d0", 1, 0),
    }
    assert found["models"] == {"owner/captioner": COMMITS[0], "owner/captioner@v0": COMMITS[1]}
    assert found["inputs"]["probes"]["shapes"]["images"] == 3
    # sha256 of "abc": FIPS 180-2, appendix B.1
    (digest,) = found["inputs"]["files"].values()
    assert digest == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert found["inputs"]["factories"] == {"conceptnet": "f0"}
    assert found["seeds"]["probes"] == {"shapes": 4, "photos": 4}
    described = (recorded.parent / "planted/fc/descriptions.parquet").read_bytes()
    assert found["results"] == {"planted/fc/descriptions.parquet": hashlib.sha256(described).hexdigest()}
    assert found["config"]["recipes"]["dnd"]["generator"]["guidance"] == 2.0
    assert found["config"]["recipes"]["dnd"]["generator"]["images"] == 5  # what is left to its default is told as well


def test_no_secret_is_written(tmp_path, monkeypatch):
    monkeypatch.setenv("MY_KEY", "the-key-itself")
    asked = values()
    asked["llm"] |= {
        "api_key_env": "MY_KEY",
        "base_url": "https://me:s3cret@host/v1",
        "server_arguments": ["--api-key", "s3cret", "--chat-template", "the-key-itself"],
    }
    asked["models"]["conceptnet"]["arguments"] |= {"token": "s3cret"}
    found = provenance.record(
        load.load(asked), sweep=[], layers=[], code={}, factories={}, made={}, files=[], workflow=tmp_path
    )
    provenance.write(tmp_path / "provenance.json", found)
    text = (tmp_path / "provenance.json").read_text()
    assert "s3cret" not in text
    assert "the-key-itself" not in text
    assert "MY_KEY" in text


def test_no_secret_of_a_job_of_an_earlier_version_is_written(tmp_path):
    asked = values()
    asked["llm"]["base_url"] = "https://me:long-s3cret@host/v1?key=an0ther-s3cret"
    said = origin(notes={"server": {"base_url": asked["llm"]["base_url"]}, "said": "not an0ther-s3cret"})
    tables.write(tmp_path / "concepts.parquet", schemas.CONCEPTS.empty_table(), schemas.CONCEPTS, origin=said)
    found = provenance.record(
        load.load(asked),
        sweep=[],
        layers=[],
        code={"concepts": "0"},
        factories={},
        made={"concepts": [tmp_path / "concepts.parquet"]},
        files=[],
        workflow=tmp_path,
    )
    assert found.stages["concepts"].recorded == 1
    assert "s3cret" not in found.model_dump_json()


def test_the_printed_files_repeat_the_run_with_the_revisions_that_were_used(recorded, tmp_path, capsys):
    folder = tmp_path / "again"
    folder.mkdir()
    for name in ("config.yaml", "sweep.tsv", "layers.tsv"):
        provenance.main([str(recorded), f"--{name.partition('.')[0]}"])
        (folder / name).write_text(capsys.readouterr().out)
    printed = yaml.safe_load((folder / "config.yaml").read_text())
    assert (folder / "config.yaml").read_text().startswith("# demo as of ")
    again, before = load.load(printed), load.load(values())
    assert again.recipes["dnd"].captions.revision == COMMITS[0]
    assert again.recipes["older"].captions.revision == COMMITS[1]  # the same model at another revision
    assert again.recipes["dnd"].generator == before.recipes["dnd"].generator  # a folder has no revision
    assert again.probes == before.probes
    printed["recipes"]["dnd"]["captions"]["revision"] = None
    printed["recipes"]["older"]["captions"]["revision"] = "v0"
    assert load.load(printed) == before  # nothing else differs
    (layer,) = sweep.layers(again.model_copy(update={"sweep": folder / "sweep.tsv"}))
    assert layer == sweep.Layer("planted", "conceptnet", "fc", "fc", "shapes", "dnd", (0, 1, 2, 3))


def test_targets_probes_and_the_language_model_are_pinned_too(recorded):
    found = provenance.Provenance.model_validate_json(recorded.read_text())
    found.models |= {"owner/vit@v1": COMMITS[0], "owner/photos": COMMITS[1], "owner/llm": COMMITS[2]}
    found.models |= {"resources/shapeworld/embedder": "0123456789abcdef"}
    found.config["llm"]["model"] = "owner/llm"
    pinned = load.load(provenance.pinned(found))
    assert pinned.models["vit"].revision == COMMITS[0]
    assert pinned.probes["photos"].revision == COMMITS[1]
    assert pinned.llm.revision == COMMITS[2]
    assert pinned.recipes["dnd"].embedder.revision is None
    assert pinned.models["resnet"].revision is None
    assert found.config["llm"]["revision"] is None  # what was recorded stays as it was


def test_an_overview_names_code_and_devices(recorded, capsys):
    provenance.main([str(recorded)])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("demo: version 0.1.0, no commit, recorded 2")
    assert len(lines) == 2  # the other stages say nothing of themselves
    assert lines[1].split() == ["captions", "2", "jobs", "60.0", "s", "NVIDIA", "H100", "80GB", "HBM3", "(2)"]


def test_who_repeats_a_run_is_told_where_secrets_are_missing(recorded, capsys):
    found = json.loads(recorded.read_text())
    found["config"]["llm"]["server_arguments"] = ["--api-key", "(left out)"]
    recorded.write_text(json.dumps(found))
    provenance.main([str(recorded), "--config"])
    said = capsys.readouterr()
    assert "put yours where it says (left out)" in said.err
    assert load.load(yaml.safe_load(said.out))


@pytest.mark.parametrize("text", [None, "{", "[]", '{"run": "demo"}'])
def test_another_file_is_refused_in_one_line(tmp_path, text):
    path = tmp_path / "some.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(SystemExit) as error:
        provenance.main([str(path), "--config"])
    expected = "No such file or directory" if text is None else "not the provenance of a run; expected"
    assert str(error.value).startswith(f"{path}: {expected}")


@pytest.fixture
def repository(tmp_path):
    """A checkout of a workflow, committed."""
    for name in ("Snakefile", "src/dnd/io/tables.py", "config/config.yaml"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x = 1\n")
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", "--all")
    git(tmp_path, "-c", "user.name=n", "-c", "user.email=n@example.org", "commit", "--quiet", "--message", "all")
    return tmp_path


def git(folder, *words):
    return subprocess.run(["git", *words], cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


def code_of(folder):
    found = provenance.checkout(folder)
    return found.commit, found.dirty


def test_the_commit_of_another_users_checkout_is_recorded(repository, monkeypatch):
    commit = git(repository, "rev-parse", "HEAD")
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    assert code_of(repository) == (commit, False)


def test_another_users_checkout_may_be_dirty_and_reached_by_a_link(repository, tmp_path_factory, monkeypatch):
    commit = git(repository, "rev-parse", "HEAD")
    (repository / "src/dnd/io/tables.py").write_text("x = 2\n")
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    (link := tmp_path_factory.mktemp("elsewhere") / "dnd").symlink_to(repository)
    assert code_of(link) == (commit, True)


def test_code_that_differs_from_its_commit_is_dirty_and_a_changed_configuration_is_not(repository):
    commit = git(repository, "rev-parse", "HEAD")
    (repository / "config/config.yaml").write_text("run: mine\n")
    assert code_of(repository) == (commit, False)
    (repository / "src/dnd/io/tables.py").write_text("x = 2\n")
    assert code_of(repository) == (commit, True)
    git(repository, "checkout", "--", "src")
    (repository / "src/dnd/more.py").write_text("x = 3\n")
    assert provenance.checkout(repository).dirty is True


def test_a_workflow_without_version_control_has_no_commit(repository, tmp_path_factory, monkeypatch):
    nothing = (None, None)
    assert code_of(tmp_path_factory.mktemp("copy")) == nothing
    inside = repository / "downloads/dnd"  # untracked, in somebody's repository
    inside.mkdir(parents=True)
    (inside / "Snakefile").write_text("")
    assert code_of(inside) == nothing
    monkeypatch.setenv("PATH", "")
    assert code_of(repository) == nothing
