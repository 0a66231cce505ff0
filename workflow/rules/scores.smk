rule scores:
    input:
        concepts=lambda wildcards: f"{RESULTS}/concepts/{'/'.join(plan.bundle_of(layer_of(wildcards)))}.parquet",
        images=lambda wildcards: images_of(layer_of(wildcards).recipe),
        exemplars=f"{LAYER}/exemplars/{{units}}.parquet",
        topk=topk_of,
        probe=probe_shards,
        target=target_files,
        embedder=weights_of("embedder"),
    output:
        f"{LAYER}/scores/{{units}}.parquet",
    log:
        f"{RESULTS}/logs/scores/{{name}}-{{slug}}-{{units}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/scores/{{name}}-{{slug}}-{{units}}.tsv"
    conda:
        "../../envs/vision.yaml"
    params:
        target=target_of,
        layer=lambda wildcards: layer_of(wildcards).layer,
        units=lambda wildcards: plan.unit_shards(layer_of(wildcards))[wildcards.units],
        pooling=recipe_part("pooling"),
        embedder=recipe_part("embedder"),
        scores=recipe_part("scores"),
        code=code("scores", "targets", "pictures", "backends/embedder"),
    message:
        "score the candidates of {wildcards.name}, layer {wildcards.slug}, units {wildcards.units}"
    script:
        "../scripts/scores.py"
