include: "inputs/scores.smk"


rule scores:
    input:
        images=images_of,
        concepts=candidates_of,
        exemplars=shard_of("exemplars"),
        topk=topk_of,
        probe=probe_shards,
        target=target_files,
        embedder=weights_of("embedder"),
        scales=scales_of,
    output:
        paths.pattern("scores"),
    log:
        paths.log("scores"),
    benchmark:
        paths.benchmark("scores")
    conda:
        "../../envs/vision.yaml"
    params:
        target=target_of,
        factory=code_of_target,
        layer=lambda wildcards: layer_of(wildcards).layer,
        units=units_of,
        recipe=recipe_name,
        pooling=recipe_part("pooling_of_views"),
        sign=recipe_part("sign"),
        embedder=recipe_part("embedder"),
        scores=recipe_part("scores"),
        square=recipe_part("square"),
        code=code("scores"),
    message:
        "score the candidates of {wildcards.name}, layer {wildcards.slug}, units {wildcards.units}"
    script:
        "../scripts/scores.py"
