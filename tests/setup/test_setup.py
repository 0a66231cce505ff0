"""What set-up chooses, mends and says, without building the whole environments anew."""

import json
import os
import platform
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import doctor
import pytest
import setup
import torchvision_mend

ROOT = setup.ROOT


def environment(folder, accelerator="cpu", **changes):
    return replace(setup.environments(accelerator)["vision"], folder=folder, **changes)


class Answers(setup.Uv):
    """uv whose questions about packages and code are answered by the test."""

    def __init__(self, env, available=(), failing=None):
        self.env, self.available, self.failing, self.told = env, available, failing or {}, []

    def say(self, text):
        self.told.append(text)

    def resolves(self, *arguments, **environ):
        return " ".join(arguments) in self.available

    def python(self, code):
        return next((said for part, said in self.failing.items() if part in code), "")


@pytest.fixture(autouse=True)
def own_choice(monkeypatch):
    monkeypatch.delenv("UV_TORCH_BACKEND", raising=False)


# ---- which build of torch ----


def test_a_cpu_build_where_pip_looks_goes_first(tmp_path):
    uv = Answers(environment(tmp_path), ["torch==2.13.0+cpu", "--torch-backend cpu torch==2.13.0"])
    assert setup.torch_requirements(uv) == ["-r", str(ROOT / "envs/vision-cpu.lock"), "torch==2.13.0+cpu"]


def test_else_pytorch_s_own_index_is_asked(tmp_path):
    uv = Answers(environment(tmp_path), ["--torch-backend cpu torch==2.13.0"])
    assert setup.torch_requirements(uv) == ["-r", str(ROOT / "envs/vision-cpu.lock"), "--torch-backend", "cpu"]


def test_else_the_registry_s_build_serves_where_it_can(tmp_path):
    assert setup.torch_requirements(Answers(environment(tmp_path))) == ["-r", str(ROOT / "envs/vision.lock")]
    with pytest.raises(setup.SetupError, match=r"\.venv-vllm: torch==2\.13\.0\+cpu is to be had neither"):
        setup.torch_requirements(Answers(setup.environments("cpu")["vllm"]))


def test_a_gpu_environment_never_takes_a_cpu_build_that_pip_would_find(tmp_path):
    uv = Answers(environment(tmp_path, "gpu"), ["torch==2.13.0+cpu"])
    assert setup.torch_requirements(uv) == ["-r", str(ROOT / "envs/vision.lock"), "torch!=2.13.0+cpu"]


def test_another_cuda_build_is_not_held_to_this_one_s_cuda_packages(tmp_path, monkeypatch):
    monkeypatch.setenv("UV_TORCH_BACKEND", "cu129")
    arguments = setup.torch_requirements(Answers(environment(tmp_path, "gpu")))
    constraints = Path(arguments[arguments.index("-c") + 1]).read_text()
    assert "torch==2.13.0" in constraints and "nvidia" not in constraints and "triton" not in constraints


# ---- machines without a GPU, with an old driver, without a Python ----


def test_a_gpu_environment_is_built_where_there_is_no_gpu(tmp_path, monkeypatch):
    monkeypatch.setattr(setup, "has_gpu", lambda: False)
    uv = Answers(environment(tmp_path, "gpu"))
    setup.check(uv)
    assert uv.told == ["no GPU here: the first job on a GPU machine checks that torch sees it"]


def test_a_gpu_that_torch_cannot_use_fails_and_names_the_driver(tmp_path, monkeypatch):
    monkeypatch.setattr(setup, "has_gpu", lambda: True)
    uv = Answers(environment(tmp_path, "gpu"), failing={"device='cuda'": "RuntimeError: driver too old"})
    with pytest.raises(setup.SetupError, match=r"(?s)cannot use the GPU: RuntimeError.*docs/setup\.md"):
        setup.check(uv)


def test_a_cpu_build_in_a_gpu_environment_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(setup, "has_gpu", lambda: False)
    uv = Answers(
        environment(tmp_path, "gpu"), failing={"torch.version.cuda": "x\nAssertionError: torch 2 is no CUDA build"}
    )
    with pytest.raises(setup.SetupError, match="no CUDA build"):
        setup.check(uv)


def test_without_a_python_that_fits_ways_without_root_are_named(tmp_path, monkeypatch):
    monkeypatch.setattr(platform, "python_version", lambda: "3.10.12")
    monkeypatch.setenv("UV_PYTHON_PREFERENCE", "only-managed")
    monkeypatch.setenv("UV_PYTHON_INSTALL_DIR", str(tmp_path / "none"))
    monkeypatch.setenv("UV_PYTHON_DOWNLOADS", "never")
    with pytest.raises(setup.SetupError, match=r"(?s)no Python from 3\.11 to 3\.13.*without root.*uv.*module.*conda"):
        setup.make_folder(setup.Uv(environment(tmp_path / "env")))


def test_another_python_is_taken_where_the_one_that_runs_this_does_not_fit(tmp_path, monkeypatch):
    monkeypatch.setattr(platform, "python_version", lambda: "3.10.12")
    env = environment(tmp_path / "env")
    setup.make_folder(setup.Uv(env))
    assert setup.fits(setup.python_version(env.python))


def test_a_package_that_cannot_be_had_is_named(tmp_path, capfd):
    env = environment(tmp_path / "env")
    setup.make_folder(uv := setup.Uv(env))
    with pytest.raises(setup.SetupError, match=rf"failed for Python {setup.python_version(env.python)}"):
        uv.install("snakemake==0.0.999")
    assert "snakemake==0.0.999" in capfd.readouterr().err


# ---- pip's configuration, and what lies there already ----


def test_what_pip_is_configured_to_holds_for_uv(tmp_path, monkeypatch):
    for name in ("UV_DEFAULT_INDEX", "UV_FIND_LINKS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_INDEX_URL", "https://mirror.example.org/simple")
    monkeypatch.setenv("PIP_FIND_LINKS", "/wheels /more")
    environ = setup.Uv(environment(tmp_path)).environ
    assert environ["UV_DEFAULT_INDEX"] == "https://mirror.example.org/simple"
    assert environ["UV_FIND_LINKS"] == "/wheels,/more"
    monkeypatch.setenv("UV_DEFAULT_INDEX", "https://other.example.org/simple")
    assert setup.Uv(environment(tmp_path)).environ["UV_DEFAULT_INDEX"] == "https://other.example.org/simple"


@pytest.fixture
def built(tmp_path):
    """An environment that is ready."""
    (tmp_path / "bin").mkdir()
    os.symlink(sys.executable, tmp_path / "bin/python")
    pins = tmp_path / "vision.txt"
    pins.write_text("tqdm==4.70.1\n")
    env = environment(tmp_path, pins=pins)
    setup.write_stamp(env)
    return env


@pytest.mark.parametrize(
    ("changes", "completed"),
    [
        ({}, True),
        ({"digest": "of other pins"}, True),
        ({"digest": ""}, True),  # completing it was killed
        ({"accelerator": "gpu"}, False),
        ({"folder": "/elsewhere"}, False),
        ({"python": "3.11.0"}, False),
    ],
)
def test_what_is_completed_and_what_is_built_afresh(built, changes, completed):
    setup.write_stamp(built, **changes)
    assert setup.can_be_completed(built) is completed
    assert setup.is_ready(built) is (not changes)


def test_an_environment_whose_making_was_killed_is_built_afresh(built):
    (built.folder / setup.STAMP).unlink()
    assert not setup.can_be_completed(built) and not setup.is_ready(built)


def test_other_pins_make_an_environment_unready(built):
    assert setup.is_ready(built)
    built.pins.write_text("tqdm==4.70.0\n")
    assert not setup.is_ready(built) and setup.can_be_completed(built)


# ---- torchvision ----


def test_a_mended_torchvision_leaves_other_environments_alone(tmp_path):
    cached = tmp_path / "cache"
    package = tmp_path / "env/lib/python3.11/site-packages/torchvision"
    for name in ("extension.py", "ops/roi_align.py"):
        (cached / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (cached / name).write_text("original\n")
        os.link(cached / name, package / name)  # as uv installs
    env = environment(tmp_path / "env")
    torchvision_mend.mend(env.folder)
    once = (package / "extension.py").read_text()
    torchvision_mend.mend(env.folder)
    assert once.startswith("original\n") and "_python_ops" in once
    assert (package / "extension.py").read_text() == once
    assert (cached / "extension.py").read_text() == (cached / "ops/roi_align.py").read_text() == "original\n"


WANTS_COMPILER = "import torch\nfrom torch._dynamo.utils import is_compile_supported\nfrom torch import nn\n"


@pytest.mark.parametrize("text", [WANTS_COMPILER, "import torch\n"])
def test_a_torchvision_that_imports_the_compiler_does_so_where_it_calls_it(tmp_path, text):
    path = tmp_path / "env/lib/python3.11/site-packages/torchvision/ops/roi_align.py"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    for _ in range(2):  # the second time changes nothing
        torchvision_mend.spare_compiler(tmp_path / "env")
        spared = path.read_text()
        assert "\nfrom torch._dynamo" not in spared
        assert spared.count("torch._dynamo") == text.count("torch._dynamo")
        assert ("def is_compile_supported(device):" in spared) == (text == WANTS_COMPILER)


def test_timm_and_torchvision_can_be_imported_by_themselves(tmp_path):
    subprocess.run([ROOT / ".venv/bin/python", "-c", "import timm, torchvision"], check=True, cwd=tmp_path)


# ---- doctor ----


@pytest.fixture
def commands(tmp_path, monkeypatch):
    """Programs of a machine, by what they print."""
    monkeypatch.setenv("PATH", str(tmp_path))

    def put(name, said, status=0):
        (tmp_path / name).write_text(f"#!/bin/sh\nprintf '%s\\n' '{said}'\nexit {status}\n")
        (tmp_path / name).chmod(0o755)

    return put


def test_a_machine_without_a_gpu_and_slurm_lacks_nothing_that_it_needs(commands):
    assert [line.mark for line in (*doctor.gpus(), doctor.slurm())] == ["--", "--"]


def test_an_old_driver_is_told(commands):
    commands("nvidia-smi", "NVIDIA A100, 81920 MiB, 535.129.03")
    (line,) = doctor.gpus()
    assert line.mark == "!!" and "580" in line.text
    commands("nvidia-smi", "NVIDIA H100, 81559 MiB, 580.65.06")
    (line,) = doctor.gpus()
    assert line.mark == "ok" and "81559 MiB" in line.text


def test_partitions_of_the_profile_that_slurm_lacks_are_named(commands):
    commands("sinfo", "cpu\ngpu")
    assert doctor.slurm() == ("ok", "Slurm", "partitions cpu, gpu")
    commands("sinfo", "debug\ncpu")
    assert doctor.slurm().mark == "!!" and doctor.slurm().text.endswith("names others: gpu")


def test_environments_that_are_not_there_or_do_not_work_are_told(commands, tmp_path, monkeypatch):
    env = environment(tmp_path / "env")
    monkeypatch.setattr(setup, "environments", lambda accelerator: {"vision": env})
    assert doctor.environment("vision").text == "not built: make setup"
    (tmp_path / "env/bin").mkdir(parents=True)
    os.symlink(ROOT / ".venv/bin/python", env.python)
    monkeypatch.setattr(doctor, "IMPORTED", {"vision": "json no_such_module"})
    assert "no_such_module" in doctor.environment("vision").text
    monkeypatch.setattr(
        doctor, "VERSIONS", f"print({json.dumps(json.dumps({'versions': {}, 'cuda': None, 'gpus': 0}))})"
    )
    assert "did not finish" in doctor.environment("vision").text
    setup.write_stamp(env)
    assert doctor.environment("vision").mark == "ok"
