"""Write vision.yaml and vllm.yaml, the conda environments of clusters, from the pins in vision.txt and vllm.txt.

    python envs/conda.py            write them
    python envs/conda.py --check    fail where they are out of date

The pins are repeated there because Snakemake builds an environment from a copy of its file, beside which a
``-r vision.txt`` would find nothing; and so that changed pins make a new environment.
"""

import sys
from pathlib import Path

ENVS = Path(__file__).resolve().parent


def conda_file(pins: str) -> str:
    packages = [line for line in pins.splitlines() if "==" in line and not line.startswith("#")]
    head = "# Written by envs/conda.py.\nchannels: [conda-forge, nodefaults]\ndependencies:\n  - python=3.11\n  - pip\n"
    return head + "  - pip:\n" + "".join(f"      - {package}\n" for package in packages)


def main() -> int:
    outdated = []
    for name in ("vision", "vllm"):
        path, text = ENVS / f"{name}.yaml", conda_file((ENVS / f"{name}.txt").read_text())
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
