rule look_alikes:
    input:
        exemplars=shard_of("exemplars"),
        topk=topk_of,
        probe=probe_shards,
        model=weights_of("captions"),
        embedder=weights_of("embedder"),
    output:
        paths.pattern("look_alikes"),
    log:
        paths.log("look_alikes"),
    benchmark:
        paths.benchmark("look_alikes")
    conda:
        "../../envs/vision.yaml"
    params:
        recipe=recipe_name,
        captions=recipe_part("captions"),
        embedder=recipe_part("embedder"),
        controls=recipe_part("controls"),
        wanted=lambda wildcards: recipe_of(wildcards).concepts.look_alikes,
        units=units_of,
        square=recipe_part("square"),
        streams=streams_of,
        truth=truth_of("captions", "oracles"),
        code=code("look_alikes"),
    message:
        "find look-alikes of the exemplars of {wildcards.name}, layer {wildcards.slug}, units {wildcards.units}"
    script:
        "../scripts/look_alikes.py"
