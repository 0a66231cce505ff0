rule scales:
    input:
        concepts=candidates_of,
        images=images_of,
        embedder=weights_of("embedder"),
    output:
        paths.pattern("scales"),
    log:
        paths.log("scales"),
    benchmark:
        paths.benchmark("scales")
    conda:
        "../../envs/vision.yaml"
    params:
        embedder=recipe_part("embedder"),
        recipe=recipe_name,
        code=code("scales"),
    message:
        "fit the embedder's scale: {wildcards.name}, layer {wildcards.slug}"
    script:
        "../scripts/scales.py"
