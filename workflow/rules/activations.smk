include: "inputs/activations.smk"


rule activations:
    input:
        shard=paths.pattern("probe"),
        # for the control images; the shards themselves would be a million inputs of a thousand jobs
        shuffled=paths.pattern("shuffled"),
        target=target_files,
    output:
        topk=paths.pattern("topk_of_shard"),
        statistics=paths.pattern("statistics"),
        controls=paths.pattern("controls"),
    log:
        paths.log("activations"),
    benchmark:
        paths.benchmark("activations")
    conda:
        "../../envs/vision.yaml"
    params:
        target=target_of,
        factory=code_of_target,
        layers=layers_of_pass,
        # as layers.tsv has it, which may have been written by hand
        units=lambda wildcards: {
            slug: sweep_tables.known[wildcards.model, layer][1]
            for slug, layer in layers_of_pass(wildcards).items()
        },
        code=code("activations"),
    message:
        "run {wildcards.model} over probe {wildcards.probe}, shard {wildcards.shard}"
    script:
        "../scripts/activations.py"


rule topk:
    input:
        topk=parts_of_pass("topk_of_shard"),
        statistics=parts_of_pass("statistics"),
        controls=parts_of_pass("controls"),
    output:
        paths.pattern("topk"),
    log:
        paths.log("topk"),
    conda:
        "../../envs/vision.yaml"
    params:
        code=code("topk"),
    message:
        "merge the activations of {wildcards.model}, layer {wildcards.slug}"
    script:
        "../scripts/topk.py"
