rule concepts:
    input:
        exemplars=bundle_files("exemplars"),
        captions=bundle_files("captions"),
        prompt=lambda wildcards: str(settings.recipes[wildcards.recipe].concepts.prompt),
        model=weights(settings.llm.model),
    output:
        concepts=f"{RESULTS}/concepts/{{recipe}}/{{bundle}}.parquet",
        answers=f"{RESULTS}/concepts/{{recipe}}/{{bundle}}-answers.parquet",
    log:
        f"{RESULTS}/logs/concepts/{{recipe}}-{{bundle}}.log",
        server=f"{RESULTS}/logs/concepts/{{recipe}}-{{bundle}}-server.log",
    benchmark:
        f"{RESULTS}/benchmarks/concepts/{{recipe}}-{{bundle}}.tsv"
    conda:
        "../../envs/vision.yaml"
    threads: 2
    params:
        concepts=recipe_part("concepts"),
        model=[settings.llm.model, settings.llm.revision, settings.llm.max_model_len],
        # as wildcards of the input files, in their order
        layers=lambda wildcards: [
            [layer.name, layer.slug, units]
            for layer in plan.bundles[wildcards.recipe, wildcards.bundle]
            for units in plan.unit_shards(layer)
        ],
        store=f"{STORE}/answers",
        code=code("concepts", "pictures", "backends/llm"),
    message:
        "summarise captions to candidate concepts (recipe {wildcards.recipe}, bundle {wildcards.bundle})"
    script:
        "../scripts/concepts.py"
