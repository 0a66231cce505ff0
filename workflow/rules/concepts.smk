rule concepts:
    input:
        exemplars=bundle_files("exemplars"),
        captions=bundle_files("captions"),
        prompt=prompts_of,
        model=weights(settings.llm.model),
        template=chat_template(),
        answers=answers_of,
        embedder=text_embedder_of,
        also=also_of,
        look_alikes=look_alikes_of,
        probe=lambda wildcards: (
            probe_shards(wildcards)
            if recipe_of(wildcards).concepts.show_images
            else []
        ),
    output:
        concepts=f"{RESULTS}/concepts/{BUNDLE}.parquet",
        answers=f"{RESULTS}/concepts/{BUNDLE}-answers.parquet",
    log:
        f"{RESULTS}/logs/concepts/{BUNDLE}.log",
        server=f"{RESULTS}/logs/concepts/{BUNDLE}-server.log",
    benchmark:
        f"{RESULTS}/benchmarks/concepts/{BUNDLE}.tsv"
    conda:
        "../../envs/vision.yaml"
    threads: ASKING_THREADS
    params:
        concepts=recipe_part("concepts"),
        square=recipe_part("square"),
        embedder=lambda wildcards: (
            plain(wildcards.recipe, "embedder")
            if reads_vectors(wildcards.recipe)
            else None
        ),
        # as wildcards of the descriptions by another recipe, in their order
        also=lambda wildcards: [
            [layer.name, layer.slug] for layer, _ in joining(bundle_of(wildcards))
        ],
        model=[
            settings.llm.model,
            settings.llm.revision,
            settings.llm.max_model_len,
            settings.llm.chat_template,
        ],
        # as wildcards of the input files, in their order
        layers=lambda wildcards: [
            [layer.name, layer.slug, units]
            for layer in plan.bundles[bundle_of(wildcards)]
            for units in plan.unit_shards(layer)
        ],
        truth=truth_of("concepts", "oracles"),
        names=lambda wildcards: {
            layer.slug: layer.layer for layer in plan.bundles[bundle_of(wildcards)]
        },
        code=code("concepts"),
    message:
        "summarise captions to concepts: {wildcards.model}, {wildcards.probe}, {wildcards.recipe}, bundle {wildcards.bundle}"
    script:
        "../scripts/concepts.py"
