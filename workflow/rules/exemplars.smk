rule exemplars:
    input:
        topk=topk_of,
        probe=probe_shards,
        target=target_files,
    output:
        paths.pattern("exemplars"),
    log:
        paths.log("exemplars"),
    benchmark:
        paths.benchmark("exemplars")
    conda:
        "../../envs/vision.yaml"
    params:
        target=target_of,
        factory=code_of_target,
        layer=lambda wildcards: layer_of(wildcards).layer,
        units=units_of,
        pooling=recipe_part("pooling_of_views"),
        sign=recipe_part("sign"),
        exemplars=recipe_part("exemplars"),
        code=code("exemplars"),
    message:
        "cut attention crops for {wildcards.name}, layer {wildcards.slug}, units {wildcards.units}"
    script:
        "../scripts/exemplars.py"
