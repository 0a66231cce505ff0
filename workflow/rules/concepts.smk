include: "inputs/concepts.smk"


rule concepts:
    input:
        exemplars=bundle_files("exemplars"),
        captions=bundle_files("captions"),
        prompt=lambda wildcards: here(recipe_of(wildcards).concepts.asked),
        model=weights(settings.llm.model),
        template=chat_template(),
        answers=answers_of,
        embedder=lambda wildcards: (
            weights_of("embedder")(wildcards) if reads_vectors(wildcards) else []
        ),
        probe=lambda wildcards: (
            probe_shards(wildcards)
            if recipe_of(wildcards).concepts.show_images
            else []
        ),
    output:
        concepts=paths.pattern("concepts"),
        answers=paths.pattern("answers"),
    log:
        paths.log("concepts"),
        server=paths.log("concepts", "-server"),
    benchmark:
        paths.benchmark("concepts")
    conda:
        "../../envs/vision.yaml"
    threads: ASKING_THREADS
    params:
        concepts=recipe_part("concepts"),
        square=recipe_part("square"),
        embedder=lambda wildcards: (
            plain(wildcards.recipe, "embedder") if reads_vectors(wildcards) else None
        ),
        model=settings.llm.identity,
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
