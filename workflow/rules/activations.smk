rule activations:
    input:
        shard=f"{RESULTS}/probe/{{probe}}/images-{{shard}}.parquet",
        shards=probe_shards,
        target=target_files,
    output:
        topk=f"{PASS}/parts/topk-{{shard}}.parquet",
        statistics=f"{PASS}/parts/statistics-{{shard}}.parquet",
        controls=f"{PASS}/parts/controls-{{shard}}.parquet",
    log:
        f"{RESULTS}/logs/activations/{{model}}-{{probe}}-{{pooling}}-{{shard}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/activations/{{model}}-{{probe}}-{{pooling}}-{{shard}}.tsv"
    conda:
        "../../envs/vision.yaml"
    params:
        target=target_of,
        layers=lambda wildcards: plan.hooked(wildcards.model, wildcards.probe, wildcards.pooling),
        k=lambda wildcards: plan.kept_images(wildcards.model, wildcards.probe, wildcards.pooling),
        controls=lambda wildcards: plan.controls(wildcards.model, wildcards.probe, wildcards.pooling),
        code=code("activations", "targets", "pictures"),
    message:
        "run {wildcards.model} over probe {wildcards.probe}, shard {wildcards.shard}"
    script:
        "../scripts/activations.py"


rule topk:
    input:
        lambda wildcards: [
            f"{PASS}/parts/{part}-{i:05d}.parquet"
            for part in ("topk", "statistics", "controls")
            for i in range(settings.probes[wildcards.probe].shards)
        ],
    output:
        f"{PASS}/{{slug}}.parquet",
    log:
        f"{RESULTS}/logs/topk/{{model}}-{{probe}}-{{pooling}}-{{slug}}.log",
    conda:
        "../../envs/vision.yaml"
    params:
        k=lambda wildcards: plan.kept_images(wildcards.model, wildcards.probe, wildcards.pooling),
        code=code("activations"),
    message:
        "merge the activations of {wildcards.model}, layer {wildcards.slug}"
    script:
        "../scripts/topk.py"
