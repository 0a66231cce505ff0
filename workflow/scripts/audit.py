"""In: DESCRIPTIONS of a layer, a labelled probe. Out: AUDITS of one audit, and its chart."""

from pathlib import Path

from dnd.config.evaluation import AuditSettings
from dnd.config.sweep import units
from dnd.config.targets import TargetSettings
from dnd.evaluation import audit_chart, audits
from dnd.io import schemas, tables
from dnd.io.files import replaced
from dnd.run import job as jobs
from dnd.target import sources

job = jobs.begin(snakemake.log[0], snakemake.threads)
params = snakemake.params
settings = AuditSettings(**params.audit)
found = audits.run(
    snakemake.wildcards.audit,
    settings,
    None if settings.units is None else units(settings.units),
    sources.load(TargetSettings(**params.target)),
    tables.read(snakemake.input.descriptions, schemas.DESCRIPTIONS, ["unit", "label", "abstained"]),
    [Path(shard) for shard in snakemake.input.probe],
)
tables.write(snakemake.output.table, found, schemas.AUDITS, origin=job.origin())
with replaced(snakemake.output.chart) as partial:
    partial.write_text(audit_chart.draw(snakemake.wildcards.audit, found), encoding="utf-8")
