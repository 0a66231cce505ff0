rule stopping:
    input:
        concepts=concepts_of,
        topk=topk_of,
        target=target_files,
        model=weights_of("generator"),
    output:
        images=f"{LAYER}/stopping/{{units}}.parquet",
        drawn=f"{LAYER}/stopping/{{units}}-drawn.parquet",
    log:
        f"{RESULTS}/logs/stopping/{{name}}-{{slug}}-{{units}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/stopping/{{name}}-{{slug}}-{{units}}.tsv"
    conda:
        "../../envs/vision.yaml"
    params:
        target=target_of,
        factory=code_of_target,
        recipe=recipe_name,
        layer=lambda wildcards: layer_of(wildcards).layer,
        units=units_of,
        pooling=recipe_part("pooling_of_views"),
        sign=recipe_part("sign"),
        generator=recipe_part("generator"),
        truth=truth_of("generator", "oracle_images"),
        stopping=recipe_part("stopping"),
        code=code("stopping"),
    message:
        "draw candidates until the leader is clear: {wildcards.name}, layer {wildcards.slug}, units {wildcards.units}"
    script:
        "../scripts/stopping.py"
