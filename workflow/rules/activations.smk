rule activations:
    input:
        shard=f"{RESULTS}/probe/{{probe}}/images-{{shard}}.parquet",
        # for the control images; the shards themselves would be a million inputs of a thousand jobs
        shuffled=f"{RESULTS}/probe/{{probe}}/shuffled.parquet",
        target=target_files,
    output:
        topk=f"{PASS}/parts/{{group}}/topk-{{shard}}.parquet",
        statistics=f"{PASS}/parts/{{group}}/statistics-{{shard}}.parquet",
        controls=f"{PASS}/parts/{{group}}/controls-{{shard}}.parquet",
    log:
        f"{RESULTS}/logs/activations/{{model}}-{{probe}}-{{pooling}}-{{sign}}-{{k}}-{{controls}}-{{group}}-{{shard}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/activations/{{model}}-{{probe}}-{{pooling}}-{{sign}}-{{k}}-{{controls}}-{{group}}-{{shard}}.tsv"
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
        parts_of_pass,
    output:
        f"{PASS}/{{slug}}.parquet",
    log:
        f"{RESULTS}/logs/topk/{{model}}-{{probe}}-{{pooling}}-{{sign}}-{{k}}-{{controls}}-{{slug}}.log",
    conda:
        "../../envs/vision.yaml"
    params:
        code=code("topk"),
    message:
        "merge the activations of {wildcards.model}, layer {wildcards.slug}"
    script:
        "../scripts/topk.py"
