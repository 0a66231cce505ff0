rule images:
    input:
        concepts=lambda wildcards: concepts_of(wildcards.recipe),
        model=weights_of("generator"),
    output:
        f"{RESULTS}/images/{{recipe}}/{{part}}.parquet",
    log:
        f"{RESULTS}/logs/images/{{recipe}}-{{part}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/images/{{recipe}}-{{part}}.tsv"
    conda:
        "../../envs/vision.yaml"
    params:
        generator=recipe_part("generator"),
        parts=settings.shards.images,
        store=f"{STORE}/images",
        code=code("images", "backends/generator"),
    message:
        "draw the distinct concepts of recipe {wildcards.recipe}, part {wildcards.part}"
    script:
        "../scripts/images.py"
