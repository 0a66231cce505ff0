"""In: the tables of a layer. Out: the folder of its pages."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dnd.report import layer
from dnd.report.units import Tables
from dnd.run import job

if TYPE_CHECKING:
    from snakemake.script import Snakemake, snakemake


def listed(files: str | Sequence[str]) -> list[Path]:
    """Return paths, of one file as well."""
    return [Path(path) for path in ([files] if isinstance(files, str) else files)]


def main(snakemake: "Snakemake") -> None:
    """Write the pages, some units in each process."""
    job.begin(snakemake.log[0], snakemake.threads)
    answers = listed(snakemake.input.get("answers", ()))
    given = {key: listed(snakemake.input.get(key, ())) for key in Tables.SEVERAL}
    layer.run(
        Path(snakemake.output[0]),
        snakemake.params.facts,
        Tables(Path(snakemake.input.descriptions), Path(snakemake.input.topk), **given),
        snakemake.params.settings,
        answers[0] if answers else None,
        snakemake.threads,
    )


if __name__ == "__main__":  # the processes read this file, too
    main(snakemake)
