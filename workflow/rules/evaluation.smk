def judged_together(wildcards):
    """The layers of the sweep that are one layer of one network, by whatever method they are described."""
    return plan.judged[wildcards.model, wildcards.slug]


def descriptions_judged(wildcards):
    """The descriptions of a layer by every method."""
    return [
        paths.of_layer("descriptions", layer) for layer in judged_together(wildcards)
    ]


def half_of(layer):
    """What a layer shares with the same one that sees another part of the same probe; None without parts."""
    probe = settings.probes[layer.probe]
    return probe.model_dump_json(exclude={"part"}) if probe.part else None


def evaluation_settings(wildcards):
    """The settings of the evaluation as plain values."""
    return settings.evaluation.model_dump(mode="json")


def class_files(wildcards):
    """The file of class names of a layer whose units are classes."""
    layer = judged_together(wildcards)[0]
    return here([settings.models[layer.model].class_names.get(layer.layer)])


def known_answers():
    """Network -> file of its known answers, of those in the sweep that have one."""
    models = sorted({layer.model for layer in plan.layers})
    named = {model: settings.models[model].known_answers for model in models}
    return {model: str(file) for model, file in named.items() if file}


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
        names=lambda wildcards: [layer.name for layer in judged_together(wildcards)],
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
        images=(paths.pattern("label_images") if settings.evaluation.generator else []),
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
