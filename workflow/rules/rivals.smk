rule annotations:
    input:
        shard=f"{RESULTS}/probe/{{probe}}/images-{{shard}}.parquet",
        files=annotation_files,
    output:
        f"{RESULTS}/probe/{{probe}}/annotations-{{shard}}.parquet",
    log:
        f"{RESULTS}/logs/annotations/{{probe}}-{{shard}}.log",
    conda:
        "../../envs/vision.yaml"
    params:
        probes=probe_settings,
        code=code("annotations"),
    message:
        "read the annotations of probe {wildcards.probe}, shard {wildcards.shard}"
    script:
        "../scripts/annotations.py"


rule dissection:
    input:
        probe=probe_shards,
        annotations=probe_parts("annotations"),
        target=target_files,
    output:
        patterns=f"{DISSECTION}-patterns.parquet",
        overlaps=f"{DISSECTION}-overlaps.parquet",
    log:
        f"{RESULTS}/logs/dissection/{{model}}-{{probe}}-{{sign}}-{{slug}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/dissection/{{model}}-{{probe}}-{{sign}}-{{slug}}.tsv"
    conda:
        "../../envs/vision.yaml"
    params:
        target=target_of,
        factory=code_of_target,
        sign=lambda wildcards: wildcards.sign,
        layer=lambda wildcards: dissected(wildcards)[0].layer,
        units=lambda wildcards: spell(
            sorted({unit for layer in dissected(wildcards) for unit in layer.units})
        ),
        quantiles=lambda wildcards: sorted(
            {
                settings.recipes[layer.recipe].quantile
                for layer in dissected(wildcards)
            },
            key=str,
        ),
        code=code("dissection"),
    message:
        "compare the maps of {wildcards.model}, layer {wildcards.slug} with the masks of probe {wildcards.probe}"
    script:
        "../scripts/dissection.py"


rule network_dissection:
    input:
        unpack(dissection_of),
        topk=topk_of,
    output:
        scores=f"{LAYER}/network-dissection.parquet",
        report=f"{LAYER}/network-dissection-categories.parquet",
    log:
        f"{RESULTS}/logs/network_dissection/{{name}}-{{slug}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/network_dissection/{{name}}-{{slug}}.tsv"
    conda:
        "../../envs/vision.yaml"
    params:
        recipe=whole_recipe,
        units=all_units_of,
        code=code("network_dissection"),
    message:
        "describe {wildcards.name}, layer {wildcards.slug} by Network Dissection"
    script:
        "../scripts/network_dissection.py"


rule compositional:
    input:
        unpack(dissection_of),
        topk=topk_of,
    output:
        f"{LAYER}/compositional.parquet",
    log:
        f"{RESULTS}/logs/compositional/{{name}}-{{slug}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/compositional/{{name}}-{{slug}}.tsv"
    conda:
        "../../envs/vision.yaml"
    params:
        recipe=whole_recipe,
        units=all_units_of,
        code=code("compositional"),
    message:
        "describe {wildcards.name}, layer {wildcards.slug} by Compositional Explanations"
    script:
        "../scripts/compositional.py"


rule invert:
    input:
        topk=topk_of,
        probe=probe_shards,
        annotations=probe_parts("annotations"),
    output:
        f"{LAYER}/invert.parquet",
    log:
        f"{RESULTS}/logs/invert/{{name}}-{{slug}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/invert/{{name}}-{{slug}}.tsv"
    conda:
        "../../envs/vision.yaml"
    params:
        recipe=whole_recipe,
        units=all_units_of,
        code=code("invert"),
    message:
        "describe {wildcards.name}, layer {wildcards.slug} by INVERT"
    script:
        "../scripts/invert.py"


rule clip_dissect:
    input:
        topk=topk_of,
        probe=probe_shards,
        concepts=recipe_file("concepts"),
        embedder=weights_of("embedder"),
    output:
        f"{LAYER}/clip-dissect.parquet",
    log:
        f"{RESULTS}/logs/clip_dissect/{{name}}-{{slug}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/clip_dissect/{{name}}-{{slug}}.tsv"
    conda:
        "../../envs/vision.yaml"
    params:
        recipe=whole_recipe,
        units=all_units_of,
        code=code("clip_dissect"),
    message:
        "describe {wildcards.name}, layer {wildcards.slug} by CLIP-Dissect"
    script:
        "../scripts/clip_dissect.py"


rule milan:
    input:
        topk=topk_of,
        probe=probe_shards,
        target=target_files,
        describer=lambda wildcards: weights(str(recipe_of(wildcards).describer)),
    output:
        f"{LAYER}/milan.parquet",
    log:
        f"{RESULTS}/logs/milan/{{name}}-{{slug}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/milan/{{name}}-{{slug}}.tsv"
    conda:
        "../../envs/vision.yaml"
    params:
        target=target_of,
        factory=code_of_target,
        layer=lambda wildcards: layer_of(wildcards).layer,
        sign=lambda wildcards: recipe_of(wildcards).sign,
        recipe=whole_recipe,
        units=all_units_of,
        code=code("milan"),
    message:
        "describe {wildcards.name}, layer {wildcards.slug} by MILAN"
    script:
        "../scripts/milan.py"


rule line:
    input:
        topk=topk_of,
        target=target_files,
        generator=weights_of("generator"),
        llm=lambda wildcards: weights((recipe_of(wildcards).llm or settings.llm).model),
        prompt=recipe_file("prompt"),
    output:
        scores=f"{LAYER}/line/{{units}}.parquet",
        rounds=f"{LAYER}/line/{{units}}-rounds.parquet",
    log:
        f"{RESULTS}/logs/line/{{name}}-{{slug}}-{{units}}.log",
        server=f"{RESULTS}/logs/line/{{name}}-{{slug}}-{{units}}-server.log",
    benchmark:
        f"{RESULTS}/benchmarks/line/{{name}}-{{slug}}-{{units}}.tsv"
    conda:
        "../../envs/vision.yaml"
    threads: ASKING_THREADS
    params:
        target=target_of,
        factory=code_of_target,
        layer=lambda wildcards: layer_of(wildcards).layer,
        recipe=recipe_name,
        settings=whole_recipe,
        units=units_of,
        truth=truth_of("generator", "oracle_images"),
        code=code("line"),
    message:
        "describe {wildcards.name}, layer {wildcards.slug}, units {wildcards.units} by LINE"
    script:
        "../scripts/line.py"


rule foreign:
    input:
        topk=topk_of,
        labels=recipe_file("labels"),
    output:
        f"{LAYER}/foreign.parquet",
    log:
        f"{RESULTS}/logs/foreign/{{name}}-{{slug}}.log",
    conda:
        "../../envs/vision.yaml"
    params:
        recipe=whole_recipe,
        layer=lambda wildcards: layer_of(wildcards).layer,
        units=all_units_of,
        code=code("foreign"),
    message:
        "read the labels of {wildcards.name}, layer {wildcards.slug}"
    script:
        "../scripts/foreign.py"
