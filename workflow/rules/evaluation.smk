rule evaluation:
    input:
        descriptions=[f"{RESULTS}/{layer.name}/{layer.slug}/descriptions.parquet" for layer in plan.layers],
        answers=here(known_answers().values()),
    output:
        f"{RESULTS}/evaluation.parquet",
    log:
        f"{RESULTS}/logs/evaluation.log",
    conda:
        "../../envs/vision.yaml"
    params:
        names=[layer.name for layer in plan.layers],
        answers=known_answers(),
        code=code("evaluation"),
    message:
        "compare the descriptions with the known answers"
    script:
        "../scripts/evaluation.py"
