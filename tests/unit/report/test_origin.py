"""How a layer's labels came about, as the site sums it up."""

from dnd.io import schemas, tables
from dnd.report.origin import origin
from dnd.report.units import Tables


def job(seconds, finished, **models):
    return {
        **{"started": "2026-01-01T00:00:00+00:00", "finished": finished, "seconds": seconds, "device": "GPU"},
        **{"threads": 1, "python": "3.11", "platform": "Linux", "notes": {}},
        **{"versions": {"dnd": "0.1.0", "torch": "2.13.0", "numpy": "2"}, "models": models.get("models", {})},
    }


def write(path, schema, origin=None):
    tables.write(path, schema.empty_table(), schema, origin=origin)
    return path


def test_models_time_and_versions_are_those_of_the_jobs(tmp_path):
    late = "2026-01-03T00:00:00+00:00"
    captions = job(8.6, late, models={"org/captioner@main": "abc", "other": "def"})
    given = Tables(
        write(tmp_path / "descriptions.parquet", schemas.DESCRIPTIONS),
        write(tmp_path / "topk.parquet", schemas.TOPK, job(1.0, "2026-01-02T00:00:00+00:00")),
        origins=[write(tmp_path / "captions.parquet", schemas.CAPTIONS, captions)] * 2,  # one file, counted once
    )
    assert origin(given, {"captions.model": "org/captioner"}) == [
        ("captions", "org/captioner@main (abc)"),
        ("model", "other (def)"),
        ("device", "GPU, 2 jobs"),
        ("seconds of work", "10"),
        ("started", "2026-01-01T00:00:00+00:00"),
        ("finished", late),
        ("version of dnd", "0.1.0"),
        ("version of torch", "2.13.0"),
    ]


def test_nothing_is_told_of_tables_without_a_record(tmp_path):
    given = Tables(
        *(write(tmp_path / name, schema) for name, schema in (("a", schemas.DESCRIPTIONS), ("b", schemas.TOPK)))
    )
    assert origin(given, {}) == []
