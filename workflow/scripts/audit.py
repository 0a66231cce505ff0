"""In: DESCRIPTIONS of a layer, a labelled probe. Out: AUDITS of one audit, and its chart."""

from typing import TYPE_CHECKING

from dnd.config.evaluation import AuditSettings
from dnd.config.targets import TargetSettings
from dnd.evaluation import audit_chart, audits
from dnd.io import schemas, tables
from dnd.io.files import replaced
from dnd.run import job as jobs
from dnd.target import sources

if TYPE_CHECKING:
    from snakemake.script import snakemake

job = jobs.begin(snakemake.log[0], snakemake.threads)
params, given, name = snakemake.params, snakemake.input, snakemake.wildcards.audit
described = tables.rows(given.descriptions, schemas.DESCRIPTIONS, audits.AuditedUnit)
target = sources.load(TargetSettings(**params.target))
found = audits.run(name, AuditSettings(**params.audit), target, described, given.probe)
tables.write(snakemake.output.table, found, schemas.AUDITS, origin=job.origin())
with replaced(snakemake.output.chart) as partial:
    partial.write_text(audit_chart.draw(name, found), encoding="utf-8")
