include: "inputs/refinement.smk"


rule refinement:
    input:
        concepts=lambda wildcards: paths.of_bundle("concepts", bundle_of(wildcards)),
        exemplars=bundle_files("exemplars"),
        captions=bundle_files("captions"),
        topk=lambda wildcards: [
            paths.topk(layer) for layer in plan.bundles[bundle_of(wildcards)]
        ],
        target=target_files,
        generator=weights_of("generator"),
        captioner=lambda wildcards: (
            weights_of("captions")(wildcards)
            if recipe_of(wildcards).refinement.failures
            else []
        ),
        llm=lambda wildcards: weights_in(model_that_refines(wildcards)),
        template=chat_template(),
        prompt=lambda wildcards: here([recipe_of(wildcards).refinement.prompt]),
    output:
        concepts=paths.pattern("refinement"),
        rounds=paths.pattern("rounds"),
    log:
        paths.log("refinement"),
        server=paths.log("refinement", "-server"),
    benchmark:
        paths.benchmark("refinement")
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
        # of the input files, in their order
        shards=lambda wildcards: [
            [layer.name, layer.slug, layer.layer, units]
            for layer in plan.bundles[bundle_of(wildcards)]
            for units in plan.unit_shards(layer).values()
        ],
        topk=lambda wildcards: [
            layer.slug for layer in plan.bundles[bundle_of(wildcards)]
        ],
        code=code("refinement"),
    message:
        "look for better concepts: {wildcards.model}, {wildcards.probe}, {wildcards.recipe}, bundle {wildcards.bundle}"
    script:
        "../scripts/refinement.py"
