rule stopping:
    input:
        concepts=candidates_of,
        topk=topk_of,
        target=target_files,
        model=weights_of("generator"),
    output:
        images=paths.pattern("stopping"),
        drawn=paths.pattern("drawn"),
    log:
        paths.log("stopping"),
    benchmark:
        paths.benchmark("stopping")
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
