include: "inputs/evaluation.smk"


rule label_images:
    input:
        descriptions=descriptions_judged,
        model=weights_in(settings.evaluation.generator),
    output:
        paths.pattern("label_images"),
    log:
        paths.log("label_images"),
    benchmark:
        paths.benchmark("label_images")
    conda:
        "../../envs/vision.yaml"
    params:
        evaluation=evaluation_settings,
        code=code("label_images"),
    message:
        "draw the labels of {wildcards.model}, layer {wildcards.slug}"
    script:
        "../scripts/label_images.py"


rule judgements:
    input:
        descriptions=descriptions_judged,
        held_out=(
            paths.of_probe("probe", settings.evaluation.held_out)
            if settings.evaluation.held_out
            else []
        ),
        images=[paths.pattern("label_images")] if settings.evaluation.generator else [],
        concepts=here([settings.evaluation.concepts]),
        classes=class_files,
        target=target_files,
        embedder=weights_in(settings.evaluation.embedder),
        sentences=weights_in(settings.evaluation.sentences),
    output:
        paths.pattern("judgements"),
    log:
        paths.log("judgements"),
    benchmark:
        paths.benchmark("judgements")
    conda:
        "../../envs/vision.yaml"
    params:
        evaluation=evaluation_settings,
        target=target_of,
        factory=code_of_target,
        streams=held_out_streams,
        layer=lambda wildcards: judged_together(wildcards)[0].layer,
        rows=lambda wildcards: [
            {"name": layer.name, "recipe": layer.recipe, "half": half_of(layer)}
            for layer in judged_together(wildcards)
        ],
        code=code("judgements"),
    message:
        "judge the labels of {wildcards.model}, layer {wildcards.slug}"
    script:
        "../scripts/judgements.py"


rule evaluation:
    input:
        descriptions=[paths.of_layer("descriptions", layer) for layer in plan.layers],
        answers=here(known_answers().values()),
        classes=here(
            [file for files in class_names().values() for file in files.values()]
        ),
        sentences=weights_in(settings.evaluation.sentences),
        judged=paths.judgements(),
        concepts=here([settings.evaluation.concepts]),
    output:
        evaluation=report(
            paths.pattern("evaluation"),
            caption="../report/evaluation.rst",
            category="Evaluation",
            labels={"table": "metrics"},
        ),
        comparisons=report(
            paths.pattern("comparisons"),
            caption="../report/comparisons.rst",
            category="Evaluation",
            labels={"table": "comparisons"},
        ),
    log:
        paths.log("evaluation"),
    conda:
        "../../envs/vision.yaml"
    params:
        rows=[
            {
                "name": layer.name,
                "model": layer.model,
                "probe": layer.probe,
                "compared": layer in plan.judged.get((layer.model, layer.slug), [])
                and half_of(layer) is None,
                "probable": plan.is_ours(layer),
            }
            for layer in plan.layers
        ],
        answers=known_answers(),
        classes=class_names(),
        sentences=settings.evaluation.model_dump(mode="json")["sentences"],
        code=code("evaluation"),
    message:
        "compare the descriptions with the known answers"
    script:
        "../scripts/evaluation.py"


# All but the page and the tables of every layer: what `make evaluate` asks for.
rule evaluate:
    input:
        rules.evaluation.output,
        paths.beyond_labels(),
    localrule: True
