"""Texts reach the page as they are, and nothing in a data file can be misread as something else."""

import json
import shutil
import subprocess

import pytest

from dnd.report import data_files
from dnd.report.data_files import TextIndex, encode, numbered

HOSTILE = [
    "</script><script>alert(1)</script>",
    '" onload="alert(1)',
    "' onerror='alert(1)",
    "javascript:alert(1)",
    "<!-- <img src=x onerror=alert(1)> &lt;b&gt;",
    "\u2028\u2029 line ends of JavaScript",
    "\u202egnp.exe\u202c \u200b\u200d\ufeff zero width",
    "\x00\x1b[31m\x7f",
    "émoji 🦓, 日本語, עברית",
    '"});dnd.put("run',
]


@pytest.mark.parametrize("text", HOSTILE)
def test_untrusted_text_returns_unchanged_from_characters_that_mean_nothing_to_html(tmp_path, text):
    data_files.write(tmp_path, "layers/a/b", {"label": text, text: [text]})
    written = (tmp_path / "layers/a/b.js").read_bytes()
    assert all(32 <= byte < 127 for byte in written.removesuffix(b"\n"))
    assert not set(written) & set(b"<>&")
    start, end = b'dnd.put("layers/a/b",', b");\n"
    assert written.startswith(start) and written.endswith(end)
    assert json.loads(written[len(start) : -len(end)]) == {"label": text, text: [text]}
    assert data_files.read(tmp_path / "layers/a/b.js") == {"label": text, text: [text]}


@pytest.mark.skipif(shutil.which("node") is None, reason="no other engine of JavaScript here")
def test_a_browser_reads_what_was_written(tmp_path):
    data_files.write(tmp_path, "run", HOSTILE)
    script = (
        "const dnd = {put: (key, value) => console.log(JSON.stringify(value))};" + (tmp_path / "run.js").read_text()
    )
    done = subprocess.run(["node", "-e", script], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == HOSTILE


def test_the_key_may_be_another_than_the_place(tmp_path):
    data_files.write(tmp_path, "layers/a/b/index", 1, "index")
    assert (tmp_path / "index.js").read_text() == 'dnd.put("layers/a/b/index",1);\n'


def test_numbers_have_four_digits_and_are_finite():
    values = [0.123456, 123456.0, -0.00012345, 1e-9, 5.0, 7, True, None, float("nan"), float("inf"), (1.5,)]
    assert json.loads(encode(values)) == [0.1235, 123500, -0.0001234, 1e-9, 5, 7, True, None, None, None, [1.5]]


def test_texts_are_numbered_in_order():
    assert numbered(["b", None, "a", "b"]) == (["a", "b"], [1, -1, 0, 1])


def test_rows_of_texts_are_differences():
    index = TextIndex()
    for row, texts in {2: ["red", "red", None, ""], 5: ["blue"], 9: ["red"], 10: ["red"]}.items():
        index.add(row, texts)
    assert index.columns == {"texts": ["red", "blue"], "rows": [[2, 7, 1], [5]]}
