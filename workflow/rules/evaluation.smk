rule label_images:
    input:
        descriptions=lambda wildcards: [
            descriptions_of(layer) for layer in judged_together(wildcards)
        ],
        model=(
            weights(settings.evaluation.generator.model)
            if settings.evaluation.generator
            else []
        ),
    output:
        f"{RESULTS}/evaluation/{{model}}/{{slug}}-images.parquet",
    log:
        f"{RESULTS}/logs/label_images/{{model}}-{{slug}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/label_images/{{model}}-{{slug}}.tsv"
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
        descriptions=lambda wildcards: [
            descriptions_of(layer) for layer in judged_together(wildcards)
        ],
        held_out=(
            probe_shards({"probe": settings.evaluation.held_out})
            if settings.evaluation.held_out
            else []
        ),
        images=(
            f"{RESULTS}/evaluation/{{model}}/{{slug}}-images.parquet"
            if settings.evaluation.generator
            else []
        ),
        concepts=here(
            [str(settings.evaluation.concepts)] if settings.evaluation.concepts else []
        ),
        classes=class_files,
        target=target_files,
        embedder=(
            weights(settings.evaluation.embedder.model)
            if settings.evaluation.embedder
            else []
        ),
        sentences=(
            weights(settings.evaluation.sentences.model)
            if settings.evaluation.sentences
            else []
        ),
    output:
        f"{RESULTS}/evaluation/{{model}}/{{slug}}.parquet",
    log:
        f"{RESULTS}/logs/judgements/{{model}}-{{slug}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/judgements/{{model}}-{{slug}}.tsv"
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
        descriptions=[descriptions_of(layer) for layer in plan.layers],
        answers=here(known_answers().values()),
        judged=judged_files(),
        concepts=here(
            [str(settings.evaluation.concepts)] if settings.evaluation.concepts else []
        ),
    output:
        evaluation=report(
            f"{RESULTS}/evaluation.parquet",
            caption="../report/evaluation.rst",
            category="Evaluation",
            labels={"table": "metrics"},
        ),
        comparisons=report(
            f"{RESULTS}/comparisons.parquet",
            caption="../report/comparisons.rst",
            category="Evaluation",
            labels={"table": "comparisons"},
        ),
    log:
        f"{RESULTS}/logs/evaluation.log",
    conda:
        "../../envs/vision.yaml"
    params:
        rows=[
            {
                "name": layer.name,
                "model": layer.model,
                "probe": layer.probe,
                "compared": layer in judged_layers() and half_of(layer) is None,
                "probable": own_method(layer),
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
        beyond_labels(),
    localrule: True
