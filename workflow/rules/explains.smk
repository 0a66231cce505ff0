include: "inputs/explains.smk"


rule explains:
    input:
        scores=scores_of,
        scales=scales_of,
        topk=topk_of,
        probe=probe_shards,
        embedder=weights_of("embedder"),
    output:
        paths.pattern("explains"),
    log:
        paths.log("explains"),
    benchmark:
        paths.benchmark("explains")
    conda:
        "../../envs/vision.yaml"
    params:
        embedder=recipe_part("embedder"),
        recipe=recipe_name,
        ours=lambda wildcards: plan.is_ours(layer_of(wildcards)),
        code=code("explains"),
    message:
        "measure what the labels explain: {wildcards.name}, layer {wildcards.slug}"
    script:
        "../scripts/explains.py"
