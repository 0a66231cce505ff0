"""Write vision.yaml and vllm.yaml, the conda environments of clusters, from vision.lock and vllm.lock.

    python envs/conda.py            write them
    python envs/conda.py --check    fail where they are out of date

The versions are repeated there because Snakemake builds an environment from a copy of its file, beside which a
``-r vision.lock`` would find nothing; and so that changed pins make a new environment.
"""

import sys
from pathlib import Path

ENVS = Path(__file__).resolve().parent


def conda_file(lock: str) -> str:
    packages = [line for line in lock.splitlines() if "==" in line]
    head = "# Written by envs/conda.py.\nchannels: [conda-forge, nodefaults]\ndependencies:\n  - python=3.11\n  - pip\n"
    return head + "  - pip:\n" + "".join(f'      - "{package}"\n' for package in packages)


def main() -> int:
    outdated = []
    for name in ("vision", "vllm"):
        path, text = ENVS / f"{name}.yaml", conda_file((ENVS / f"{name}.lock").read_text())
        if not path.exists() or path.read_text() != text:
            outdated.append(path.name)
            if "--check" not in sys.argv:
                path.write_text(text)
    if outdated and "--check" in sys.argv:
        print(f"out of date: {', '.join(outdated)}. Run: python envs/conda.py", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
