rule refinement:
    input:
        concepts=proposed_of,
        exemplars=bundle_files("exemplars"),
        captions=bundle_files("captions"),
        topk=lambda wildcards: [
            topk_of(layer) for layer in plan.bundles[bundle_of(wildcards)]
        ],
        target=target_files,
        generator=weights_of("generator"),
        captioner=lambda wildcards: (
            weights_of("captions")(wildcards)
            if recipe_of(wildcards).refinement.failures
            else []
        ),
        llm=lambda wildcards: weights(
            (recipe_of(wildcards).refinement.llm or settings.llm).model
        ),
        template=chat_template(),
        prompt=lambda wildcards: here([str(recipe_of(wildcards).refinement.prompt)]),
    output:
        concepts=f"{RESULTS}/refinement/{BUNDLE}.parquet",
        rounds=f"{RESULTS}/refinement/{BUNDLE}-rounds.parquet",
    log:
        f"{RESULTS}/logs/refinement/{BUNDLE}.log",
        server=f"{RESULTS}/logs/refinement/{BUNDLE}-server.log",
    benchmark:
        f"{RESULTS}/benchmarks/refinement/{BUNDLE}.tsv"
    conda:
        "../../envs/vision.yaml"
    threads: ASKING_THREADS
    params:
        target=target_of,
        factory=code_of_target,
        refinement=refinement_of,
        generator=recipe_part("generator"),
        captions=recipe_part("captions"),
        pooling=recipe_part("pooling_of_views"),
        sign=recipe_part("sign"),
        # a layer's unit shards as wildcards of the input files, in their order
        layers=lambda wildcards: [
            [
                layer.name,
                layer.slug,
                layer.layer,
                list(plan.unit_shards(layer).values()),
            ]
            for layer in plan.bundles[bundle_of(wildcards)]
        ],
        code=code("refinement"),
    message:
        "look for better concepts: {wildcards.model}, {wildcards.probe}, {wildcards.recipe}, bundle {wildcards.bundle}"
    script:
        "../scripts/refinement.py"
