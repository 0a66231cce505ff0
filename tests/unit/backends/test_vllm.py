import pytest

from dnd.backends import vllm
from dnd.backends.server import ServerError


def test_a_missing_interpreter_is_named(tmp_path):
    with (
        pytest.raises(ServerError, match=r"llm.python: .*nowhere/python"),
        vllm.serve("m", python=str(tmp_path / "nowhere/python"), log_path=tmp_path / "log", startup_seconds=1),
    ):
        pytest.fail("nothing to run")


def test_only_the_cpu_gets_the_arguments_of_the_cpu():
    chosen = {"name": "owner/m", "python": "p", "max_model_len": 512, "extra": ["--max-num-seqs", "8"]}
    cpu = vllm.command("m", 80, gpu=False, **chosen)
    gpu = vllm.command("m", 80, gpu=True, **chosen)
    assert cpu[:3] == gpu[:3] == ["p", "-m", "vllm.entrypoints.openai.api_server"]
    assert gpu[gpu.index("--served-model-name") + 1] == "owner/m"
    assert cpu[-2:] == gpu[-2:] == ["--max-num-seqs", "8"]
    for option, value in (("--model", "m"), ("--port", "80"), ("--max-model-len", "512")):
        assert gpu[gpu.index(option) + 1] == value
    assert not {"--dtype", "--enforce-eager", "--kv-cache-memory-bytes", "--max-num-batched-tokens"} & set(gpu)
    assert cpu[cpu.index("--dtype") + 1] == "float32"
    assert "--enforce-eager" in cpu
    # every prompt that may be in flight fits into one step: prompts computed in parts and seeds do not go together
    assert int(cpu[cpu.index("--max-num-batched-tokens") + 1]) == int(cpu[cpu.index("--max-num-seqs") + 1]) * 512


@pytest.mark.parametrize(("cores", "threads"), [(1, "1"), (2, "1"), (4, "3")])
def test_on_few_cores_vllm_leaves_one_to_whoever_asks(cores, threads):
    assert vllm.cpu_environment(cores) == {"VLLM_ENABLE_V1_MULTIPROCESSING": "0", "OMP_NUM_THREADS": threads}
    assert vllm.cpu_environment(16) == {}


def test_gpus_are_named_as_the_driver_names_them(tmp_path, monkeypatch):
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho 'GPU 0: NVIDIA H100 80GB HBM3 (UUID: GPU-1)'\necho 'GPU 1: NVIDIA T4'\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert vllm.gpus() == ["NVIDIA H100 80GB HBM3", "NVIDIA T4"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert vllm.gpus() == []
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    tool.write_text("#!/bin/sh\necho 'NVIDIA-SMI has failed'\nexit 9\n")
    assert vllm.gpus() == []
