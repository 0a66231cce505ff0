"""The Arrow schema of every table."""

import pyarrow as pa

from dnd.io import schemas


def test_descriptions_hold_what_readers_outside_rely_on():
    names = "model layer probe recipe unit label labels confidence abstained explains explains_low explains_high"
    names += " bimodality score candidates exemplars captions"
    assert schemas.DESCRIPTIONS.names == names.split()
    assert schemas.DESCRIPTIONS.field("unit").type == pa.int32()
    assert schemas.DESCRIPTIONS.field("confidence").type == pa.float32()
    assert [field.name for field in schemas.CANDIDATE] == [
        "concept",
        "score",
        "auc",
        "mad",
        "rank_score",
        "image_similarity",
        "correlation",
        "precision",
        "drawn",
        "source",
    ]
    assert schemas.EXEMPLAR.field("box").type == pa.list_(pa.int32(), 4)


def test_widths_of_numbers_are_those_that_rows_tell():
    assert schemas.IMAGES.field("seed").type == pa.int64()
    assert schemas.EVALUATION.field("low").type == pa.float64()
    assert schemas.SCORES.field("parts").type == pa.list_(pa.int32())
    assert schemas.PATTERNS.field("concepts").type == pa.list_(
        pa.struct([("category", pa.string()), ("concept", pa.string())])
    )
