"""Bad input: one clear message before any job starts; an unreadable image is listed and skipped."""

import io
import resource
import shutil
import subprocess
import tarfile

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from workspace import SNAKEMAKE, Workspace

from dnd.io import schemas, tables


@pytest.fixture
def workspace(tmp_path):
    return Workspace(tmp_path)


def refused(workspace):
    workspace.write()
    output = workspace.run("--dry-run", succeeds=False)
    assert "Traceback" not in output
    assert not workspace.results.exists()
    return output


def test_unknown_key(workspace):
    workspace.values["recipes"]["dnd"]["exemplars"] = {"imgaes": 5}
    assert "config.yaml: recipes.dnd.exemplars.imgaes: unknown key" in refused(workspace)


def test_code_in_a_configuration(workspace):
    workspace.values["__use_yte__"] = True
    assert "config.yaml: __use_yte__: expected plain values; Snakemake runs such a file" in refused(workspace)


def test_code_in_the_default_configuration_does_not_run(workspace):
    workspace.values |= {"__use_yte__": True, "run": "?open('it ran', 'w').name"}
    workspace.write()
    (workspace.folder / "config").mkdir()
    (workspace.folder / "config.yaml").rename(workspace.folder / "config/config.yaml")
    snakefile = ("--snakefile", str(workspace.root / "Snakefile"))
    done = subprocess.run(
        [str(SNAKEMAKE), *snakefile, "--dry-run"], capture_output=True, text=True, cwd=workspace.folder, timeout=120
    )
    assert done.returncode == 1
    assert "config/config.yaml: __use_yte__: expected plain values" in done.stdout + done.stderr
    assert not (workspace.folder / "it ran").exists()


def test_wrong_type(workspace):
    workspace.values["probes"]["shapes"]["images"] = "many"
    assert "config.yaml: probes.shapes.images: " in refused(workspace)


def test_missing_folder(workspace):
    workspace.values["probes"]["shapes"] = {"source": "folder", "path": "no/such/folder"}
    assert "config.yaml: probes.shapes.path: no/such/folder does not exist" in refused(workspace)


def test_empty_folder(workspace):
    (workspace.folder / "pictures").mkdir()
    (workspace.folder / "pictures/notes.txt").touch()
    workspace.values["probes"]["shapes"] = {"source": "folder", "path": "pictures"}
    assert "config.yaml: probes.shapes.path: pictures holds no images (." in refused(workspace)


def test_unknown_layer(workspace):
    workspace.sweep[1][2] = "layer9"
    assert "sweep.tsv line 2: unknown layer 'layer9' of model 'conceptnet'" in refused(workspace)


def test_duplicate_row(workspace):
    workspace.sweep.append(workspace.sweep[1])
    assert "listed twice" in refused(workspace)


def test_units_beyond_the_layer(workspace):
    workspace.sweep[2][5] = "0-36"
    assert "sweep.tsv line 3: unit 36 of layer 'fc', which has 36" in refused(workspace)


def test_a_slug_that_two_layers_share(workspace):
    workspace.write()
    table = workspace.folder / "layers.tsv"
    table.write_text(table.read_text() + "conceptnet\tlayer3\tfc\t64\n")
    output = workspace.run("--dry-run", succeeds=False)
    assert "slug 'fc' is that of layer 'fc' of model 'conceptnet' already" in output


def test_units_that_the_network_does_not_have_are_told_by_the_pass(workspace):
    workspace.sweep[2][5] = ""
    workspace.write()
    table = workspace.folder / "layers.tsv"
    table.write_text(table.read_text().replace("fc\tfc\t36", "fc\tfc\t40"))
    output = workspace.run("--until", "topk", succeeds=False)
    assert "layer 'fc' has 36 units, and layers.tsv says 40: `snakemake inventory` corrects the table" in output
    assert not [*workspace.results.glob("activations/*/*/*/*.parquet")]


def test_ten_mistakes_are_ten_sentences(workspace):
    values = workspace.values
    recipe = values["recipes"]["dnd"]
    (workspace.folder / "broken.json").write_text("{")
    (workspace.folder / "broken.yaml").write_bytes(bytes(range(256)))
    values["models"]["conceptnet"]["known_answers"] = "broken.json"
    values["models"]["other"] = {
        "source": "torchvision",
        "factory": "resnet18",
        "preprocess": {"size": 8, "std": [0] * 3},
    }
    values["probes"]["shapes"]["images"] = True
    recipe["concepts"]["prompt"] = "broken.yaml"
    recipe["generator"] |= {"prompt": "{concept}}", "scheduler": "Euler", "guidance": float("inf")}
    recipe["captions"]["model"] = ""
    workspace.sweep[1][0] = "groups.tsv"
    workspace.sweep[2][5] = "0-36"
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    output = refused(workspace)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    told = output.partition("configuration:\n")[2].partition('\n  File "')[0].splitlines()
    assert sorted(line.partition("config.yaml: ")[2].partition(": ")[0] or line[:17] for line in told) == sorted(
        [
            "models.conceptnet.known_answers",
            "models.other.preprocess",
            "probes.shapes.images",
            "recipes.dnd.captions.model",
            "recipes.dnd.concepts.prompt",
            "recipes.dnd.generator.guidance",
            "recipes.dnd.generator.prompt",
            "recipes.dnd.generator.scheduler",
            "sweep.tsv line 2:",
            "sweep.tsv line 3:",
        ]
    )
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime <= 5  # of processor time


def no_traceback(workspace, *arguments):
    output = workspace.run(*arguments, succeeds=False)
    assert "Traceback" not in output
    return output


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"run: \xff", "config.yaml, line 1: no UTF-8 text"),
        (b"run: tiny\nshards: {units: " + b"8" * 5000 + b"}", "config.yaml: Exceeds the limit (4300 digits)"),
        (b"models: " + b"[" * 3000 + b"]" * 3000, "config.yaml: values lie too deep inside each other"),
        (b"models: " + b"[" * 120 + b"]" * 120, "config.yaml: values lie too deep, multiply, or hold themselves"),
        (b"models: &all {one: *all}", "config.yaml: values lie too deep, multiply, or hold themselves"),
        (
            b"m0: &m0 {a: 1}\n"
            + b"".join(b"m%d: &m%d {a: *m%d, b: *m%d}\n" % (i, i, i - 1, i - 1) for i in range(1, 40)),
            "config.yaml: values lie too deep, multiply, or hold themselves",
        ),
        (b"run: tiny\nmodels:\n\t- 1", "config.yaml: while scanning for the next token found character '\\t'"),
        (b"just words", "config.yaml: Config file must be given as JSON or YAML with keys at top level"),
        (b"", "config.yaml: Config file must be given as JSON or YAML with keys at top level"),
    ],
)
def test_configuration_that_cannot_be_read(workspace, content, message):
    (workspace.folder / "config.yaml").write_bytes(content)
    assert message in no_traceback(workspace, "--dry-run")


def test_configuration_that_is_no_file(workspace):
    assert "\nreport is not there; all behind --configfile" in no_traceback(
        workspace, "--configfile", "config.yaml", "report", "--dry-run"
    )
    (workspace.folder / "folder.yaml").mkdir()
    assert "folder.yaml: Is a directory" in no_traceback(workspace, "--configfile", "folder.yaml", "--dry-run")


def test_configuration_that_is_taken_for_a_result(workspace):
    (workspace.folder / "mine.yaml").write_text("run: mine\n")
    for name in ("mine.yaml", "none.yml"):
        assert f"{name}: no result is named so; a configuration stands behind --configfile" in no_traceback(
            workspace, "--dry-run", name
        )


def test_slips_of_yaml_in_a_configuration(workspace):
    path = workspace.folder / "config.yaml"
    path.write_text(path.read_text().replace("seed: 4", "seed: 1:04\n    images: 160", 1))
    output = no_traceback(workspace, "--dry-run")
    assert "key 'images' is given twice" in output
    assert "YAML 1.1 counts 1:04 in sixties" in output


def test_dry_run_lists_the_jobs_and_makes_nothing(workspace):
    output = workspace.run("--dry-run")
    assert "describe planted, layer concepts" in output
    assert not workspace.results.exists()


def test_a_thousand_shards_are_planned_in_time_that_grows_with_their_number(workspace):
    edges, seconds = {}, {}
    for shards in (3, 6, 9, 1000):
        workspace.values["probes"]["shapes"] |= {"images": 1600, "shards": shards}
        workspace.write()
        before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
        edges[shards] = workspace.run("--dag").count(" -> ")
        seconds[shards] = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before
    assert edges[9] - edges[6] == edges[6] - edges[3]
    assert edges[1000] - edges[3] == (1000 - 3) * (edges[6] - edges[3]) / 3
    assert seconds[1000] <= 10


def test_more_shards_than_images_are_told_once_and_no_mistake(workspace):
    (workspace.folder / "pictures").mkdir()
    for name in ("a.png", "b.png", "notes.txt"):
        (workspace.folder / "pictures" / name).touch()
    workspace.values["probes"]["shapes"] = {"source": "folder", "path": "pictures", "shards": 4}
    workspace.write()
    told = "probes.shapes.shards: 4 shards of at most 2 images: some are jobs for nothing"
    assert workspace.run("--dry-run").count(told) == 1


def test_unreadable_images_of_a_users_folder_are_listed(workspace):
    folder = workspace.folder / "pictures"
    (folder / "deeper").mkdir(parents=True)
    for i in range(6):
        Image.fromarray(np.full((20, 30, 3), 40 * i, np.uint8)).save(folder / "deeper" / f"{i}.jpg")
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)).save(buffer, "PNG")
    (folder / "cut.png").write_bytes(buffer.getvalue()[:3000])
    shutil.copy(__file__, folder / "script.png")
    workspace.values["probes"]["shapes"] = {"source": "folder", "path": "pictures", "shards": 3}
    workspace.write()
    workspace.run("--until", "activations")
    rejected = workspace.results / "probe/shapes/rejected.parquet"
    reasons = {row["image_id"]: row["reason"] for row in tables.read(rejected, schemas.REJECTED).to_pylist()}
    assert set(reasons) == {"cut.png", "script.png"}
    assert all(reasons.values())
    assert "rejected cut.png" in (workspace.results / "logs/rejected/shapes.log").read_text()
    statistics = sorted(workspace.results.glob("activations/*/*/*/parts/*/statistics-*.parquet"))
    counts = [tables.read(path, schemas.STATISTICS_PART)["count"][0].as_py() for path in statistics]
    assert sum(counts) == 6


def rows_of(workspace, probe, columns=None):
    shards = sorted(workspace.results.glob(f"probe/{probe}/images-*.parquet"))
    return tables.read(shards, schemas.PROBE, columns).to_pylist()


def test_one_good_image_among_many_bad_ones(workspace):
    folder = workspace.folder / "pictures"
    folder.mkdir()
    for i in range(12):
        (folder / f"{i:02d}.jpg").write_text(f"no image {i}")
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)).save(folder / "good.png")
    shutil.copy(folder / "good.png", folder / "same.png")
    workspace.values["probes"]["shapes"] = {"source": "folder", "path": "pictures", "shards": 3}
    workspace.write()
    workspace.run("--until", "topk")
    assert [row["image_id"] for row in rows_of(workspace, "shapes", ["image_id"])] == ["good.png"]
    log = (workspace.results / "logs/rejected/shapes.log").read_text()
    assert "1 of 14 images used, 1 duplicates, 12 unreadable" in log
    (topk,) = workspace.results.glob("activations/*/*/*/fc.parquet")
    assert tables.read(topk, schemas.TOPK)["image_ids"].to_pylist()[0] == ["good.png"]


def test_no_image_that_can_be_read(workspace):
    folder = workspace.folder / "pictures"
    folder.mkdir()
    for i in range(3):
        (folder / f"{i}.jpg").write_text(f"no image {i}")
    workspace.values["probes"]["shapes"] = {"source": "folder", "path": "pictures"}
    workspace.write()
    output = workspace.run("--until", "rejected", succeeds=False)
    assert "probes.shapes: none of 3 images can be read; 0.jpg: cannot identify image file" in output


def test_a_union_of_all_sources(workspace):
    """The whole way that images take, of each source, in several jobs."""
    folder = workspace.folder
    pictures = []
    for i in range(8):
        buffer = io.BytesIO()
        Image.fromarray(np.full((20, 30, 3), 20 * i, np.uint8)).save(buffer, "PNG")
        pictures.append(buffer.getvalue())
    (folder / "folder/cat").mkdir(parents=True)
    (folder / "folder/cat/0.png").write_bytes(pictures[0])
    with tarfile.open(folder / "one.tar", "w") as archive:
        for name, content in {"1.png": pictures[1], "1.cls": b"dog", "2.png": pictures[2]}.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    pq.write_table(pa.table({"image": pictures[3:5]}), folder / "rows.parquet")
    features = datasets.Features({"image": datasets.Image()})
    images = [{"bytes": pictures[5], "path": None}, {"bytes": pictures[0], "path": None}]
    datasets.Dataset.from_dict({"image": images}, features=features).save_to_disk(folder / "saved")
    (folder / "7.png").write_bytes(pictures[7])
    (folder / "table.csv").write_text("path\n7.png\ngone.png\n")
    workspace.values["probes"] = {
        "folder": {"source": "folder", "path": "folder", "label": "folder"},
        "tars": {"source": "webdataset", "path": "one.tar", "label": "cls"},
        "rows": {"source": "parquet", "path": "rows.parquet"},
        "saved": {"source": "huggingface", "path": "saved"},
        "table": {"source": "manifest", "path": "table.csv"},
        "renders": {"source": "shapeworld", "images": 20, "sample": 2},
        "shapes": {"source": "union", "members": ["folder", "tars", "rows", "saved", "table", "renders"], "shards": 4},
    }
    workspace.write()
    workspace.run("--until", "rejected")
    rows = rows_of(workspace, "shapes")
    drawn = [row["image_id"] for row in rows if row["image_id"].startswith("renders/")]
    assert len(drawn) == 2
    assert [(row["image_id"], row["label"], row["image"]) for row in rows if row["image_id"] not in drawn] == [
        ("folder/cat/0.png", "cat", pictures[0]),
        ("rows/rows.parquet/00000000", None, pictures[3]),
        ("rows/rows.parquet/00000001", None, pictures[4]),
        ("saved/00000000", None, pictures[5]),
        ("table/7.png", None, pictures[7]),
        ("tars/one.tar/1.png", "dog", pictures[1]),
        ("tars/one.tar/2.png", None, pictures[2]),
    ]
    rejected = tables.read(workspace.results / "probe/shapes/rejected.parquet", schemas.REJECTED).to_pylist()
    assert rejected == [
        {"image_id": "saved/00000001", "reason": "duplicate of folder/cat/0.png"},
        {"image_id": "table/gone.png", "reason": "No such file or directory"},
    ]
    assert "probe shapes" not in workspace.run("--dry-run", "--until", "rejected")
    (folder / "one.tar").touch()
    output = workspace.run("--dry-run", "--until", "rejected")
    assert "list the images of probe shapes" in output
    assert "render 20 images" not in output
