include: "inputs/captions.smk"


rule captions:
    input:
        exemplars=shard_of("exemplars"),
        probe=probe_shards,
        model=weights_of("captions"),
    output:
        paths.pattern("captions"),
    log:
        paths.log("captions"),
    benchmark:
        paths.benchmark("captions")
    conda:
        "../../envs/vision.yaml"
    params:
        recipe=recipe_name,
        captions=recipe_part("captions"),
        square=recipe_part("square"),
        streams=streams_of,
        truth=truth_of("captions", "oracles"),
        code=code("captions"),
    message:
        "caption the exemplars of {wildcards.name}, layer {wildcards.slug}, units {wildcards.units}"
    script:
        "../scripts/captions.py"
