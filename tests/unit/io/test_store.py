"""The store: items are whole, many writers may share it, and keys tell apart what differs."""

import errno
import multiprocessing
import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnd.io.store import Store, key, revision

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(alphabet=st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab"), inner, max_size=3),
    max_leaves=8,
)


def test_an_item_comes_back_and_a_missing_one_is_none(tmp_path):
    store = Store(tmp_path / "store")
    name = key("caption", "x")
    assert store.get(name) is None
    store.put(name, b"a star")
    assert store.get(name) == b"a star"
    assert Store(tmp_path / "store").get(name) == b"a star"
    assert store.get(key("caption", "y")) is None


def test_an_empty_item_is_an_item(tmp_path):
    store = Store(tmp_path)
    store.put("aa", b"")
    assert store.get("aa") == b""


def test_nothing_but_the_items_is_left(tmp_path):
    store = Store(tmp_path)
    store.put("abcd", b"1")
    store.put("abcd", b"1")
    files = [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()]
    assert files == ["ab/abcd"]


def test_a_writer_that_dies_in_the_middle_leaves_no_item(tmp_path):
    script = (
        "import os, sys; from pathlib import Path; from dnd.io.store import Store\n"
        "write = Path.write_bytes\n"
        "def die(self, value):\n"
        "    write(self, value[:3]); os._exit(9)\n"
        "Path.write_bytes = die\n"
        "Store(sys.argv[1]).put('abcd', b'a star')\n"
    )
    found = subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=False)
    assert found.returncode == 9
    assert Store(tmp_path).get("abcd") is None
    Store(tmp_path).put("abcd", b"a star")
    assert Store(tmp_path).get("abcd") == b"a star"


@pytest.mark.parametrize("damage", [lambda data: b"", lambda data: data[:9], lambda data: bytes(len(data))])
def test_what_a_crash_left_of_an_item_is_no_item(tmp_path, damage, caplog):
    store = Store(tmp_path)
    store.put("abcd", b"a star")
    path = tmp_path / "ab" / "abcd"
    path.write_bytes(damage(path.read_bytes()))
    assert store.get("abcd") is None
    assert caplog.messages == [f"{path} is damaged; it is made again"]
    store.put("abcd", b"a star")
    assert store.get("abcd") == b"a star"


def test_a_store_that_cannot_be_written_is_told_once_and_ends_nothing(tmp_path, caplog):
    (tmp_path / "store").write_text("a file")
    for name in ("abcd", "abce", "ffff"):
        store = Store(tmp_path / "store")
        store.put(name, b"a star")
        assert store.get(name) is None
    (told,) = caplog.messages
    assert str(tmp_path / "store") in told
    assert os.strerror(errno.ENOTDIR) in told or os.strerror(errno.EEXIST) in told


def test_a_store_of_somebody_else_is_told_once_and_taken_for_empty(tmp_path):
    """Root may do anything, so that a user without rights asks where root runs the tests."""
    Store(tmp_path).put("abcd", b"a star")
    (tmp_path / "ab").chmod(0)
    script = (
        "import os, sys; from dnd.io.store import Store\n"
        "if os.geteuid() == 0: os.seteuid(65534)\n"
        "store = Store(sys.argv[1])\n"
        "for name in ('abcd', 'abce'): assert store.get(name) is None; store.put(name, b'a ring')\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=False)
    (tmp_path / "ab").chmod(0o755)
    assert done.returncode == 0, done.stderr
    assert done.stderr == (
        f"store {tmp_path} cannot be read ({os.strerror(errno.EACCES)}): what it would save is computed again\n"
    )
    assert [path.name for path in (tmp_path / "ab").iterdir()] == ["abcd"]
    assert Store(tmp_path).get("abcd") == b"a star"


def test_an_item_for_which_there_is_no_room_leaves_nothing(tmp_path):
    """A limit on the size of files stands for a full disk: the write fails in the middle."""
    script = (
        "import resource, sys; from dnd.io.store import Store\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "store = Store(sys.argv[1])\n"
        "for name in ('abcd', 'abce'): store.put(name, b'x' * 5000)\n"
        "store.put('abcf', b'small')\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stderr.count("cannot be written") == 1
    assert os.strerror(errno.EFBIG) in done.stderr
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["abcf"]
    assert Store(tmp_path).get("abcf") == b"small"


def write_and_read(folder, names, value):
    """Write every item and read every item again; the number of broken ones is the exit code."""
    store = Store(folder)
    broken = 0
    for name in names:
        store.put(name, value)
        broken += store.get(name) != value
    sys.exit(broken)


def test_processes_may_write_the_same_items_at_once(tmp_path):
    names, value = [key(i) for i in range(40)], b"picture" * 5000
    spawn = multiprocessing.get_context("spawn")
    jobs = [spawn.Process(target=write_and_read, args=(tmp_path, names, value)) for _ in range(3)]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()
    assert [job.exitcode for job in jobs] == [0, 0, 0]
    assert [Store(tmp_path).get(name) for name in names] == [value] * 40
    assert len([path for path in tmp_path.rglob("*") if path.is_file()]) == 40


def test_a_key_is_the_digest_of_its_parts():
    # printf '["a",1]' | sha256sum
    assert key("a", 1) == "135f17a475a61afdeeaf3759ad2e45ad1c7abb192395abe47e41fc8e395dc1a9"


def typed(value):
    """A value that is equal only to values of the same types: 1 is not True."""
    if isinstance(value, dict):
        return {name: typed(inner) for name, inner in value.items()}
    return [typed(inner) for inner in value] if isinstance(value, list) else (type(value), value)


@given(JSON, JSON)
def test_keys_are_equal_for_equal_parts_only(a, b):
    assert (key(a) == key(b)) == (typed(a) == typed(b))
    assert len(key(a)) == 64


def test_the_border_between_parts_counts():
    assert key("ab", "c") != key("a", "bc")
    assert key(["a"], "b") != key("a", ["b"])


def test_the_order_of_settings_does_not_count():
    assert key({"steps": 20, "size": 64}) == key({"size": 64, "steps": 20})


def test_a_part_that_has_no_json_is_an_error():
    with pytest.raises(TypeError):
        key(object())


@pytest.fixture
def model(tmp_path):
    """Make a model's folder, always at another path: revisions are remembered by path."""

    def make(name, **files):
        folder = tmp_path / name
        (folder / "text").mkdir(parents=True)
        for file, content in ({"model.safetensors": "weights", "config.json": "{}"} | files).items():
            (folder / file).write_text(content)
        return str(folder)

    return make


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("model.safetensors", "weightS"),
        ("config.json", "{ }"),
        ("merges.txt", "a b"),
        ("chat_template.jinja", "{{ x }}"),
        ("text/model.safetensors", "more"),
    ],
)
def test_a_changed_byte_of_a_model_is_another_revision(model, file, content):
    assert revision(model("a")) == revision(model("b"))
    assert revision(model("c", **{file: content})) != revision(model("d"))


def test_files_that_no_model_loads_do_not_count(model):
    assert revision(model("a")) == revision(model("b", **{"README.md": "hello"}))


def test_a_hub_model_is_known_by_name_and_revision():
    assert revision("owner/name") == "owner/name@main"
    assert revision("owner/name", "v2") == "owner/name@v2"
