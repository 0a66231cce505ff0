rule audit:
    input:
        descriptions=lambda wildcards: descriptions_of(audited(wildcards)),
        probe=lambda wildcards: probe_shards(
            {"probe": audit_of(wildcards).probe or audited(wildcards).probe}
        ),
        classes=lambda wildcards: here(
            [str(audit_of(wildcards).classes)] if audit_of(wildcards).classes else []
        ),
        target=lambda wildcards: files_of_target(audited(wildcards).model),
    output:
        table=f"{RESULTS}/audits/{{audit}}.parquet",
        chart=report(
            f"{RESULTS}/audits/{{audit}}.svg",
            caption="../report/audit.rst",
            category="Audits",
            labels={"audit": "{audit}"},
        ),
    log:
        f"{RESULTS}/logs/audit/{{audit}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/audit/{{audit}}.tsv"
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
        f"{RESULTS}/importance/{{model}}/{{probe}}/{{slug}}.parquet",
    log:
        f"{RESULTS}/logs/importance/{{model}}-{{probe}}-{{slug}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/importance/{{model}}-{{probe}}-{{slug}}.tsv"
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
