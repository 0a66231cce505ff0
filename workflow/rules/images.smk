rule images:
    input:
        concepts=concepts_of,
        model=weights_of("generator"),
    output:
        f"{RESULTS}/images/{BUNDLE}/{{part}}.parquet",
    log:
        f"{RESULTS}/logs/images/{BUNDLE}/{{part}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/images/{BUNDLE}/{{part}}.tsv"
    conda:
        "../../envs/vision.yaml"
    params:
        generator=recipe_part("generator"),
        truth=truth_of("generator", "oracle_images"),
        parts=settings.shards.images,
        code=code("images"),
    message:
        "draw concepts: {wildcards.model}, {wildcards.probe}, {wildcards.recipe}, bundle {wildcards.bundle}, part {wildcards.part}"
    script:
        "../scripts/images.py"
