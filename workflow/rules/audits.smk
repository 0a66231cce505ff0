include: "inputs/audits.smk"


rule audit:
    input:
        descriptions=lambda wildcards: paths.of_layer(
            "descriptions", audited(wildcards)
        ),
        probe=lambda wildcards: paths.of_probe(
            "probe", audit_of(wildcards).probe or audited(wildcards).probe
        ),
        classes=lambda wildcards: here([audit_of(wildcards).classes]),
        target=lambda wildcards: files_of_target(audited(wildcards).model),
    output:
        table=paths.pattern("audit"),
        chart=report(
            paths.pattern("chart"),
            caption="../report/audit.rst",
            category="Audits",
            labels={"audit": "{audit}"},
        ),
    log:
        paths.log("audit"),
    benchmark:
        paths.benchmark("audit")
    conda:
        "../../envs/vision.yaml"
    params:
        audit=lambda wildcards: audit_of(wildcards).model_dump(mode="json"),
        target=lambda wildcards: target_of({"model": audited(wildcards).model}),
        factory=lambda wildcards: code_of_target({"model": audited(wildcards).model}),
        code=code("audit"),
    message:
        "silence units: audit {wildcards.audit}"
    script:
        "../scripts/audit.py"


rule importance:
    input:
        probe=probe_shards,
        target=target_files,
    output:
        paths.pattern("importance"),
    log:
        paths.log("importance"),
    benchmark:
        paths.benchmark("importance")
    conda:
        "../../envs/vision.yaml"
    params:
        importance=(
            settings.importance.model_dump(mode="json")
            if settings.importance
            else None
        ),
        target=target_of,
        factory=code_of_target,
        layer=lambda wildcards: next(
            layer.layer
            for layer in plan.layers
            if (layer.model, layer.slug) == (wildcards.model, wildcards.slug)
        ),
        code=code("importance"),
    message:
        "weigh the units of {wildcards.model}, layer {wildcards.slug}"
    script:
        "../scripts/importance.py"
