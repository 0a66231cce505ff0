from dnd.probe import sources as probe_sources


def streams_of(wildcards):
    """The streams of renders that a job's captions tell the truth of; None where a model writes them."""
    return (
        probe_sources.streams(layer_of(wildcards).probe, settings.probes)
        if recipe_of(wildcards).captions.oracle
        else None
    )


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
