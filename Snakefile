from snakemake.utils import min_version

min_version("9.0")


include: "workflow/rules/common.smk"
include: "workflow/rules/judging.smk"
include: "workflow/rules/probe.smk"
include: "workflow/rules/activations.smk"
include: "workflow/rules/exemplars.smk"
include: "workflow/rules/captions.smk"
include: "workflow/rules/look_alikes.smk"
include: "workflow/rules/concepts.smk"
include: "workflow/rules/refinement.smk"
include: "workflow/rules/images.smk"
include: "workflow/rules/stopping.smk"
include: "workflow/rules/scores.smk"
include: "workflow/rules/rivals.smk"
include: "workflow/rules/descriptions.smk"
include: "workflow/rules/evaluation.smk"
include: "workflow/rules/audits.smk"
include: "workflow/rules/report.smk"
include: "workflow/rules/provenance.smk"
include: "workflow/rules/inventory.smk"
include: "workflow/rules/prefetch.smk"


rule all:
    default_target: True
    input:
        final_output,
