rule images:
    input:
        concepts=candidates_of,
        model=weights_of("generator"),
    output:
        paths.pattern("images"),
    log:
        paths.log("images"),
    benchmark:
        paths.benchmark("images")
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
