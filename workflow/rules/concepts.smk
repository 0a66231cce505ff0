rule concepts:
    input:
        exemplars=bundle_files("exemplars"),
        captions=bundle_files("captions"),
        prompt=prompts_of,
        model=weights(settings.llm.model),
        template=chat_template(),
        probe=lambda wildcards: probe_shards(wildcards) if recipe_of(wildcards).concepts.show_images else [],
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
    threads: 2
    params:
        concepts=recipe_part("concepts"),
        square=recipe_part("square"),
        model=[settings.llm.model, settings.llm.revision, settings.llm.max_model_len, settings.llm.chat_template],
        # as wildcards of the input files, in their order
        layers=lambda wildcards: [
            [layer.name, layer.slug, units]
            for layer in plan.bundles[bundle_of(wildcards)]
            for units in plan.unit_shards(layer)
        ],
        code=code("concepts"),
    message:
        "summarise captions to concepts: {wildcards.model}, {wildcards.probe}, {wildcards.recipe}, bundle {wildcards.bundle}"
    script:
        "../scripts/concepts.py"
