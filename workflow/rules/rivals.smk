include: "inputs/rivals.smk"


rule annotations:
    input:
        shard=paths.pattern("probe"),
        files=annotation_files,
    output:
        paths.pattern("annotations"),
    log:
        paths.log("annotations"),
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
        patterns=paths.pattern("patterns"),
        overlaps=paths.pattern("overlaps"),
    log:
        paths.log("dissection"),
    benchmark:
        paths.benchmark("dissection")
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
        scores=paths.pattern("network_dissection"),
        report=paths.pattern("categories"),
    log:
        paths.log("network_dissection"),
    benchmark:
        paths.benchmark("network_dissection")
    conda:
        "../../envs/vision.yaml"
    params:
        recipe=recipe_name,
        settings=whole_recipe,
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
        paths.pattern("compositional"),
    log:
        paths.log("compositional"),
    benchmark:
        paths.benchmark("compositional")
    conda:
        "../../envs/vision.yaml"
    params:
        recipe=recipe_name,
        settings=whole_recipe,
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
        paths.pattern("invert"),
    log:
        paths.log("invert"),
    benchmark:
        paths.benchmark("invert")
    conda:
        "../../envs/vision.yaml"
    params:
        recipe=recipe_name,
        settings=whole_recipe,
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
        paths.pattern("clip_dissect"),
    log:
        paths.log("clip_dissect"),
    benchmark:
        paths.benchmark("clip_dissect")
    conda:
        "../../envs/vision.yaml"
    params:
        recipe=recipe_name,
        settings=whole_recipe,
        units=all_units_of,
        code=code("clip_dissect"),
    message:
        "describe {wildcards.name}, layer {wildcards.slug} by CLIP-Dissect"
    script:
        "../scripts/clip_dissect.py"


rule linear_explanations:
    input:
        topk=topk_of,
        probe=probe_shards,
        concepts=recipe_file("concepts"),
        embedder=weights_of("embedder"),
    output:
        paths.pattern("linear_explanations"),
    log:
        paths.log("linear_explanations"),
    benchmark:
        paths.benchmark("linear_explanations")
    conda:
        "../../envs/vision.yaml"
    params:
        recipe=recipe_name,
        settings=whole_recipe,
        units=all_units_of,
        code=code("linear_explanations"),
    message:
        "describe {wildcards.name}, layer {wildcards.slug} by Linear Explanations"
    script:
        "../scripts/linear_explanations.py"


rule milan:
    input:
        topk=topk_of,
        probe=probe_shards,
        target=target_files,
        describer=lambda wildcards: weights(str(recipe_of(wildcards).describer)),
    output:
        paths.pattern("milan"),
    log:
        paths.log("milan"),
    benchmark:
        paths.benchmark("milan")
    conda:
        "../../envs/vision.yaml"
    params:
        target=target_of,
        factory=code_of_target,
        layer=lambda wildcards: layer_of(wildcards).layer,
        sign=lambda wildcards: recipe_of(wildcards).sign,
        recipe=recipe_name,
        settings=whole_recipe,
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
        llm=lambda wildcards: weights_in(recipe_of(wildcards).llm or settings.llm),
        prompt=recipe_file("prompt"),
    output:
        scores=paths.pattern("line"),
        rounds=paths.pattern("rounds_of_line"),
    log:
        paths.log("line"),
        server=paths.log("line", "-server"),
    benchmark:
        paths.benchmark("line")
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
        paths.pattern("foreign"),
    log:
        paths.log("foreign"),
    conda:
        "../../envs/vision.yaml"
    params:
        recipe=recipe_name,
        settings=whole_recipe,
        layer=lambda wildcards: layer_of(wildcards).layer,
        units=all_units_of,
        code=code("foreign"),
    message:
        "read the labels of {wildcards.name}, layer {wildcards.slug}"
    script:
        "../scripts/foreign.py"
