"""The system's Chromium, for tests.

python tests/browser/chromium.py ready      is it installed? the exit status says
python tests/browser/chromium.py install    as root: the package of Debian or Ubuntu
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys


def found() -> str | None:
    """Return the path of the browser; None where there is none."""
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def install() -> None:
    """Install the package."""
    subprocess.run(["apt-get", "update", "-q"], check=True)
    command = ["apt-get", "install", "-y", "-q", "--no-install-recommends", "chromium", "fonts-dejavu-core"]
    subprocess.run(command, check=True, env=os.environ | {"DEBIAN_FRONTEND": "noninteractive"})


def main() -> int:
    """Follow the command line."""
    match sys.argv[1:]:
        case ["ready"]:
            return 0 if found() else 1
        case ["install"]:
            install()
            return 0
        case _:
            print(__doc__, file=sys.stderr)
            return 2


if __name__ == "__main__":
    sys.exit(main())
