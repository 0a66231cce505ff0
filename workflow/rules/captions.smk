rule captions:
    input:
        exemplars=shard_of("exemplars"),
        probe=probe_shards,
        model=weights_of("captions"),
    output:
        f"{LAYER}/captions/{{units}}.parquet",
    log:
        f"{RESULTS}/logs/captions/{{name}}-{{slug}}-{{units}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/captions/{{name}}-{{slug}}-{{units}}.tsv"
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
