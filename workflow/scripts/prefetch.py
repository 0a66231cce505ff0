"""In: the configuration. Out: every model that the sweep needs, in the local caches; external servers are asked."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from dnd.config import load
from dnd.config.sweep import sweep_rows
from dnd.run import prefetch

if TYPE_CHECKING:
    from snakemake.script import snakemake

settings = load.load(snakemake.config)
lines: list[str] = []


def say(line: str) -> None:
    print(line, file=sys.stderr)
    lines.append(line)


rows = sweep_rows(settings)
failures = prefetch.run(prefetch.wanted(settings, rows), say) + prefetch.asked(settings, rows, say)
for line in failures:
    say(f"failed: {line}")
if not failures:
    say("\nJobs on machines without internet need these lines in their shell:")
    for line in prefetch.exports():
        say(line)
Path(snakemake.log[0]).write_text("\n".join(lines) + "\n")
sys.exit(bool(failures))
