"""YAML and JSON files that mean nothing, or other than what they seem to: one sentence with file and line."""

import pytest

from dnd.io import documents


def told(path, content, read):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(documents.DocumentError) as error:
        read(path)
    message = str(error.value)
    assert message.startswith(str(path))
    return message.removeprefix(str(path))


BOMB = "a: &a0 [x]\n" + "".join(f"b{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 12))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a: 1\nb: \xff\n", ", line 2: no UTF-8 text"),
        ("a: 1\nb: [2\n", ", line 3: not YAML: expected ',' or ']', but got '<stream end>'"),
        ("a: 1\nb:\n  c: 1\n  d: 2\n  c: 3\n", ", line 5: key 'c' is given twice"),
        ("seed: 5:30", ", line 1: YAML 1.1 counts 5:30 in sixties; quote it, or write the number in tens"),
        ("x: 1\ny: 1:20.5", ", line 2: YAML 1.1 counts 1:20.5 in sixties; quote it, or write the number in tens"),
        ("units: 0010", ", line 1: YAML 1.1 counts 0010 in eights; write the number without leading zeros"),
        ("x:\n  &itself [*itself]", ", line 2: an alias (*) stands inside the value (&) that it stands for"),
        ("x: &itself {a: {b: *itself}}", ", line 1: an alias (*) stands inside the value (&) that it stands for"),
        ("&top {<<: *top}", ", line 1: an alias (*) stands inside the value (&) that it stands for"),
        (BOMB, ", line 7: aliases (*) multiply to more than 1,000,000 values"),
        ("[" * 150 + "]" * 150, ", line 1: values lie inside each other more than 100 deep"),
        ("[" * 5000 + "]" * 5000, ": values lie inside each other more than 100 deep"),
        ("n: " + "7" * 6000, ": Exceeds the limit (4300 digits) for integer string conversion: value has 6000 digits"),
        ("day: 2024-02-31", ": day is out of range for month"),
        ("x: !!python/name:os.system", ", line 1: not YAML: could not determine a constructor for the tag"),
        ("a: 1\n---\nb: 1", ", line 2: not YAML: but found another document"),
        ("x: \0", ": not YAML: unacceptable character #x0000"),
    ],
)
def test_yaml_that_is_refused(tmp_path, content, message):
    assert told(tmp_path / "file.yaml", content, documents.read_yaml).startswith(message)


def test_every_slip_of_a_yaml_file_is_told(tmp_path):
    path = tmp_path / "file.yaml"
    path.write_text("a: 1:30\nb: 010\na: 2\n")
    with pytest.raises(documents.DocumentError) as error:
        documents.read_yaml(path)
    assert [line.split(": ")[0] for line in str(error.value).splitlines()] == [
        f"{path}, line {line}" for line in (3, 1, 2)
    ]


def test_yaml_that_only_looks_strange_is_read(tmp_path):
    path = tmp_path / "file.yaml"
    path.write_text(
        "base: &base {x: 1, y: 2}\nsame: *base\nmerged: {<<: *base, y: 3}\ntime: '5:30'\nzero: 0\nhex: 0x10\n"
        "small: 0.5\nratio: 16:9x\n"
    )
    assert documents.read_yaml(path) == {
        **{"base": {"x": 1, "y": 2}, "same": {"x": 1, "y": 2}, "merged": {"x": 1, "y": 3}},
        **{"time": "5:30", "zero": 0, "hex": 16, "small": 0.5, "ratio": "16:9x"},
    }
    path.write_bytes(b"\xef\xbb\xbfa: \xc3\xa9")
    assert documents.read_yaml(path) == {"a": "é"}
    path.write_text("")
    assert documents.read_yaml(path) is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"a": "\xe9"}', ", line 1: no UTF-8 text"),
        ('{\n"a": 1,\n}', ", line 3: no JSON: "),
        ("", ", line 1: no JSON: "),
        ('{"a": 1, "b": {"c": 1, "c": 2}}', ": key 'c' is given twice"),
        ('{"a": NaN}', ": no JSON: NaN is no number of JSON"),
        ("[1, -Infinity]", ": no JSON: -Infinity is no number of JSON"),
        ("[" * 101 + "]" * 101, ": values lie inside each other more than 100 deep"),
        ("[" * 100_000, ": values lie inside each other more than 100 deep"),
        ("[" + "3" * 5000 + "]", ": Exceeds the limit (4300 digits)"),
    ],
)
def test_json_that_is_refused(tmp_path, content, message):
    assert told(tmp_path / "file.json", content, documents.read_json).startswith(message)


@pytest.mark.parametrize("read", [documents.read_json, documents.read_yaml, documents.read_text])
def test_what_is_no_file(tmp_path, read):
    for path, message in {
        tmp_path: f"{tmp_path} is a folder, expected a text file",
        "/dev/zero": "/dev/zero is no file, expected a text file",
        tmp_path / "none": f"{tmp_path / 'none'} cannot be read: No such file or directory",
        "n" * 300: f"{'n' * 300} cannot be read: File name too long",
    }.items():
        with pytest.raises(documents.DocumentError) as error:
            read(path)
        assert str(error.value) == message
