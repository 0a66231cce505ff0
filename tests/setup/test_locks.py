"""The check of the locks finds what cannot be installed. Asks the public index for metadata."""

import shutil

import locks
import pytest
import setup

CPU, CUDA = "vision-cpu.lock", "vllm.lock"


def faults(folder, name, python="3.12"):
    (lock,) = (lock for lock in locks.locks(folder) if lock.file.name == name)
    return locks.fault(lock, (python, "x86_64-manylinux_2_28"))


@pytest.fixture
def copied(tmp_path):
    """A copy of the pins and locks, to spoil."""
    return shutil.copytree(setup.ENVS, tmp_path / "envs")


def spoil(path, pin, other):
    text = path.read_text()
    assert text.count(f"\n{pin}") == 1
    path.write_text(text.replace(f"\n{pin}", f"\n{other}"))


@pytest.mark.parametrize("name", [CPU, CUDA])
def test_a_lock_as_it_is_holds(name):
    assert faults(setup.ENVS, name) == ""


@pytest.mark.parametrize(
    ("pin", "other"),
    [
        ("triton==3.7.1", "triton==3.9.0"),
        ("nvidia-cuda-nvrtc==13.0.88", "nvidia-cuda-nvrtc==13.5.37"),
        ("nvidia-cuda-runtime==13.0.96", "nvidia-cuda-runtime==13.5.37"),
        ("setuptools==80.10.2", "setuptools==84.2.1"),
    ],
)
def test_a_pin_that_another_package_forbids_is_found(copied, pin, other):
    lock = copied / CUDA
    lines = [line for line in lock.read_text().splitlines() if line.startswith(pin)]
    assert lines, f"{CUDA} no longer has {pin}"
    spoil(lock, lines[0], lines[0].replace(pin, other))
    said = faults(copied, CUDA)
    assert "unsatisfiable" in said and pin.split("==")[0] in said


def test_a_version_that_nobody_published_is_found(copied):
    spoil(copied / CPU, "tqdm==", "tqdm==999.")
    assert "tqdm" in faults(copied, CPU)


def test_a_package_that_a_lock_forgot_is_named(copied):
    lock = copied / CPU
    kept = [line for line in lock.read_text().splitlines() if not line.startswith("sympy==")]
    lock.write_text("\n".join(kept) + "\n")
    assert faults(copied, CPU) == "lacks sympy"


def test_a_pin_that_was_changed_without_its_lock_is_found(copied):
    spoil(copied / "vision.txt", "tqdm==", "tqdm==4.66.0 # ")
    assert "tqdm" in faults(copied, CPU)


def test_nobody_s_configuration_takes_part(monkeypatch, tmp_path):
    monkeypatch.setenv("UV_DEFAULT_INDEX", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("UV_FIND_LINKS", str(tmp_path))
    assert faults(setup.ENVS, CPU) == ""
