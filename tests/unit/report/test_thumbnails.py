"""Small copies of a layer's pictures: of probe images all at once on disk, of generated images when they are needed."""

from dnd.io import schemas, tables
from dnd.report.thumbnails import drawings, drawn


def test_images_that_the_scores_leave_out_are_not_shown(tmp_path):
    """Else the activations beside the others would be those of their neighbours."""
    rows = [
        {"concept": concept, "sample": i, "seed": i, "key": "", "problem": problem, "image": f"{concept} {i}".encode()}
        for concept in ("red stars", "blue stars")
        for i, problem in ((2, "flagged"), (1, None), (0, "black"))
    ]
    tables.write(tmp_path / "a.parquet", tables.table(rows, schemas.IMAGES), schemas.IMAGES, row_group_size=3)
    places = drawings([tmp_path / "a.parquet"])
    assert places == {"red stars": [(tmp_path / "a.parquet", 0)], "blue stars": [(tmp_path / "a.parquet", 1)]}
    assert drawn(places["red stars"], {"red stars"}) == {"red stars": {1: b"red stars 1"}}
