def known_answers():
    """The files of known answers of the models in the sweep."""
    models = sorted({layer.model for layer in plan.layers})
    return {name: str(settings.models[name].known_answers) for name in models if settings.models[name].known_answers}


rule evaluation:
    input:
        descriptions=[f"{RESULTS}/{layer.name}/{layer.slug}/descriptions.parquet" for layer in plan.layers],
        answers=list(known_answers().values()),
    output:
        f"{RESULTS}/evaluation.parquet",
    log:
        f"{RESULTS}/logs/evaluation.log",
    conda:
        "../../envs/vision.yaml"
    params:
        names=[layer.name for layer in plan.layers],
        answers=known_answers(),
        code=code("evaluation", "shapeworld/grammar", "shapeworld/world"),
    message:
        "compare the descriptions with the known answers"
    script:
        "../scripts/evaluation.py"
