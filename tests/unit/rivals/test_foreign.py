"""Tables of other tools in miniature, each with the traps of its kind."""

import pytest
from overlap_tables import write_topk

from dnd.config.rivals import ForeignRecipe
from dnd.io import schemas
from dnd.rivals import foreign
from dnd.rivals.foreign import ForeignError


@pytest.fixture
def write(tmp_path):
    def write(text, name="labels.csv", encoding="utf-8", **settings):
        (tmp_path / name).write_bytes(text.encode(encoding))
        return ForeignRecipe(method="foreign", labels=tmp_path / name, **settings)

    return write


def labels(recipe, layer="layer4"):
    return {unit: [label for label, _ in found] for unit, found in foreign.read(recipe, layer).items()}


def test_describe_and_dissect_has_three_labels_of_which_some_are_blank(write):
    text = (
        "Neuron ID,Label 1,Label 2,Label 3\n"
        "17,red things,Red Things,blue things\n"  # a repetition
        "4,stripes, , \n"  # a space, as for ResNet-50
        "9,dots,,\n"  # nothing, as with BLIP-2
    )
    recipe = write(text, format="dnd")
    assert labels(recipe) == {17: ["red things", "blue things"], 4: ["stripes"], 9: ["dots"]}
    assert foreign.read(recipe, "layer4")[17] == [("red things", 1.0), ("blue things", pytest.approx(1 / 3))]


def test_describe_and_dissects_file_of_classes_has_another_header(write):
    assert labels(write("Neuron ID,label\n0,fish\n1,sharks\n", format="dnd")) == {0: ["fish"], 1: ["sharks"]}


def test_cells_may_hold_line_breaks_and_commas(write):
    recipe = write('Neuron ID,Label 1,Label 2,Label 3\r\n0,"a\r\nforest, green",b,c\r\n1,d,e,f\r\n', format="dnd")
    assert labels(recipe) == {0: ["a forest, green", "b", "c"], 1: ["d", "e", "f"]}


def test_milan_names_the_layer(write):
    recipe = write('layer,unit,description\nlayer4,1,Dog heads\nlayer3,1,"Cars, buses"\n', format="milan")
    assert labels(recipe) == {1: ["Dog heads"]}
    assert labels(recipe, "layer3") == {1: ["Cars, buses"]}
    recipe = write("layer,unit,description\nencoder.ln,0,Edges\n", format="milan", layers={"norm": "encoder.ln"})
    assert labels(recipe, "norm") == {0: ["Edges"]}
    with pytest.raises(ForeignError, match=r"no row of layer 'layer9'; it has \['encoder.ln'\]: see the recipe's"):
        labels(recipe, "layer9")


def test_clip_dissects_labels_begin_with_a_space_and_may_lack_a_similarity(write):
    recipe = write("layer,unit,description,similarity\nlayer4,0, grid,0.25\n", format="clip-dissect")
    assert foreign.read(recipe, "layer4") == {0: [("grid", 0.25)]}
    recipe = write("layer,unit,description\nlayer4,0, grid\n", format="clip-dissect")
    assert foreign.read(recipe, "layer4") == {0: [("grid", 1.0)]}


def test_network_dissection_counts_from_one_and_has_a_label_in_every_category(write):
    text = (
        "unit,category,label,score,color-label,color-truth,color-activation,color-intersect,color-iou,"
        "scene-label,scene-truth,scene-activation,scene-intersect,scene-iou\n"
        "1,color,red-c,0.20,red-c,10,10,3,0.20,street-s,10,10,1,0.05\n"
        "2,scene,street-s,0.10,,24924928,9,9,0,street-s,10,10,2,0.10\n"  # no colour: a blank label
        "3,color,,0,,24924928,9,9,0,,24924928,9,9,0\n"
    )
    recipe = write(text, format="network-dissection")
    assert foreign.read(recipe, "layer4") == {
        0: [("red", 0.20), ("street", 0.05)],
        1: [("street", 0.10)],
        2: [],
    }
    with pytest.raises(ForeignError, match=r"labels.csv, line 2, column 'unit': units are numbered from 1, not 0"):
        labels(write("unit,category,label,score\n0,color,red-c,0.2\n", format="network-dissection"))


def test_invert_has_a_concept_and_its_metric(write):
    recipe = write("neuron,concept,concept_id,metric\n2,tench,n01440764,0.9990\n", format="invert")
    assert foreign.read(recipe, "fc") == {2: [("tench", 0.999)]}


def test_falcons_lists_are_read_and_nothing_in_them_is_run(write, tmp_path):
    text = (
        "group,Unnamed: 0,concept_set_words,concept_set_noun_phrases\n"
        "33,33,\"[('water', 0.25), ('shark', 0.125)]\",\"[('grey shark', 0.2)]\"\n"
        '"(4, 33)",1,"[(\'sea\', 0.5)]",[]\n'  # a group of two units
    )
    recipe = write(text, format="falcon")
    assert labels(recipe) == {33: ["sea", "water", "grey shark", "shark"], 4: ["sea"]}
    trap = tmp_path / "trap"
    for cell in (f"[(open('{trap}', 'w'), 1)]", "[('a', 'b')]", "(" * 5000, "{'a': 1}", "[('a', 1e999)]"):
        text = f'group,concept_set_words\n0,"{cell}"\n'
        with pytest.raises(ForeignError, match=r"line 2, column 'concept_set_words': expected a list such as"):
            labels(write(text, format="falcon"))
    assert not trap.exists()


def test_any_other_table_is_read_by_the_names_of_its_columns(write):
    text = "\ufeffwhich\twhat\thow well\n2\t red \t0.5\n1.0\tblue\t\n"
    recipe = write(text, "labels.tsv", unit="which", label="what", score="how well", first_unit=1)
    assert foreign.read(recipe, "any") == {1: [("red", 0.5)], 0: [("blue", 1.0)]}


def test_a_unit_may_have_several_rows_each_with_a_label(write):
    text = "unit,label\n0,a dog\n1,sky\n0,an animal\n0,A dog\n"
    assert labels(write(text, several_rows=True)) == {0: ["a dog", "an animal"], 1: ["sky"]}
    text = "layer,unit,description\nlayer4,7,grass\nlayer3,7,sea\nlayer4,7,a green lawn\n"
    assert labels(write(text, format="milan", several_rows=True)) == {7: ["grass", "a green lawn"]}


def test_a_unit_may_have_labels_in_several_columns(write):
    text = "unit,first,second,how well\n3,wheels,,0.5\n4,dots,stripes,0.25\n"
    assert labels(write(text, label=["first", "second"])) == {3: ["wheels"], 4: ["dots", "stripes"]}
    scored = write(text, label=["second", "first"], score="how well")
    assert foreign.read(scored, "any")[4] == [("stripes", 0.25), ("dots", 0.25)]
    with pytest.raises(ForeignError, match=r"has no column 'third', but"):
        labels(write(text, label=["first", "third"]))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("unit,name\n0,a\n", r"labels.csv has no column 'label', but \['unit', 'name'\]"),
        (
            "unit,label\n0,a\n1,b\n0,c\n",
            r"labels.csv, line 4: a second row of unit 0 .*; the first: .*labels.csv, line 2",
        ),
        ("unit,label\n0,a\nx,b\n", r"labels.csv, line 3, column 'unit': expected the number of a unit, not 'x'"),
        ('unit,label\n0,"a\nb"\n-1,c\n', r"labels.csv, line 4, column 'unit': expected the number of a unit, not '-1'"),
        ("unit,label\n0,a,b\n", r"labels.csv, line 2: 3 cells for 2 columns"),
        ("unit,label\n", r"labels.csv has no rows"),
        ("", r"labels.csv has no column 'unit', but \[\]"),
        ("unit,label,label\n0,a,b\n", r"labels.csv has two columns 'label'"),
    ],
)
def test_mistakes_are_named_with_file_row_and_column(write, text, problem):
    with pytest.raises(ForeignError, match=problem):
        labels(write(text))


def test_scores_that_are_no_numbers_are_named(write):
    for cell in ("good", "nan", "inf"):
        with pytest.raises(ForeignError, match=f"line 2, column 'score': expected a number, not '{cell}'"):
            labels(write(f"unit,label,score\n0,a,{cell}\n", score="score"))


def test_what_is_no_text_is_refused(write):
    with pytest.raises(ForeignError, match=r"labels.csv is no table of text: 'utf-8' codec"):
        labels(write("unit,label\n0,ä\n", encoding="latin-1"))


def test_units_without_a_label_have_no_rows_and_idle_ones_neither(write, tmp_path, caplog):
    recipe = write("unit,label\n3,d\n0,a\n2,\n1,b\n")  # in no order
    topk = write_topk(tmp_path / "topk.parquet", {0: None, 1: "dead", 2: None, 3: None, 4: None})
    found = foreign.run(recipe, "l", topk, [0, 1, 2, 3, 4])
    assert found.schema.equals(schemas.SCORES)
    assert [(row["unit"], row["candidate"], row["concept"], row["source"]) for row in found.to_pylist()] == [
        (0, 0, "a", "foreign"),
        (3, 0, "d", "foreign"),
    ]
    assert "no label for 2 of 4 units, such as 2" in caplog.text


def test_a_table_of_a_larger_layer_is_refused(write, tmp_path):
    topk = write_topk(tmp_path / "topk.parquet", dict.fromkeys(range(7)))
    with pytest.raises(ForeignError, match=r"labels.csv has a unit 7 .*; layer 'l' has the units 0 to 6"):
        foreign.run(write("unit,label\n7,a\n"), "l", topk, [0])


def test_at_most_ten_candidates_are_kept(write):
    words = ", ".join(f"('w{i}', 0.{i:02d})" for i in range(20))
    found = labels(write(f'group,concept_set_words\n0,"[{words}]"\n', format="falcon"))[0]
    assert found == [f"w{i}" for i in range(19, 9, -1)]
