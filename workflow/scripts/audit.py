"""In: DESCRIPTIONS of a layer, a labelled probe. Out: AUDITS of one audit, and its chart."""

from pathlib import Path

from dnd import audit_chart, audits, jobs, schemas, tables, target_sources
from dnd.atomic import replaced
from dnd.judging import AuditSettings
from dnd.subjects import TargetSettings
from dnd.sweep import units

job = jobs.begin(snakemake.log[0], snakemake.threads)
params = snakemake.params
settings = AuditSettings(**params.audit)
found = audits.run(
    snakemake.wildcards.audit,
    settings,
    None if settings.units is None else units(settings.units),
    target_sources.load(TargetSettings(**params.target)),
    tables.read(snakemake.input.descriptions, schemas.DESCRIPTIONS, ["unit", "label", "abstained"]),
    [Path(shard) for shard in snakemake.input.probe],
)
tables.write(snakemake.output.table, found, schemas.AUDITS, origin=job.origin())
with replaced(snakemake.output.chart) as partial:
    partial.write_text(audit_chart.draw(snakemake.wildcards.audit, found), encoding="utf-8")
