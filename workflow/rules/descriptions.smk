include: "inputs/descriptions.smk"


rule descriptions:
    input:
        topk=topk_of,
        exemplars=own_shards("exemplars"),
        captions=own_shards("captions"),
        scores=scores_of,
        explains=explains_of,
        verdict=verdict_of,
    output:
        parquet=paths.pattern("descriptions"),
        facets=paths.pattern("facets"),
        csv=report(
            paths.pattern("csv"),
            caption="../report/descriptions.rst",
            category="Descriptions",
            labels={"row": "{name}", "layer": "{slug}"},
        ),
    log:
        paths.log("descriptions"),
    conda:
        "../../envs/vision.yaml"
    params:
        facts=lambda wildcards: {
            key: getattr(layer_of(wildcards), key)
            for key in ("model", "layer", "probe", "recipe")
        },
        units=lambda wildcards: spell(layer_of(wildcards).units),
        least=lambda wildcards: getattr(
            getattr(recipe_of(wildcards), "scores", None), "least_explains", None
        ),
        shown=lambda wildcards: getattr(recipe_of(wildcards), "shown", None),
        code=code("descriptions"),
    message:
        "describe {wildcards.name}, layer {wildcards.slug}"
    script:
        "../scripts/descriptions.py"
