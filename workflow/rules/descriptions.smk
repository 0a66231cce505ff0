rule descriptions:
    input:
        topk=topk_of,
        exemplars=unit_shards("exemplars"),
        captions=unit_shards("captions"),
        scores=unit_shards("scores"),
    output:
        parquet=f"{LAYER}/descriptions.parquet",
        csv=f"{LAYER}/descriptions.csv",
    log:
        f"{RESULTS}/logs/descriptions/{{name}}-{{slug}}.log",
    conda:
        "../../envs/vision.yaml"
    params:
        facts=lambda wildcards: {
            key: getattr(layer_of(wildcards), key) for key in ("model", "layer", "probe", "recipe")
        },
        units=lambda wildcards: spell(layer_of(wildcards).units),
        code=code("descriptions"),
    message:
        "describe {wildcards.name}, layer {wildcards.slug}"
    script:
        "../scripts/descriptions.py"
