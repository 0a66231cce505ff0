include: "inputs/provenance.smk"


RECORDED = tasks.tables(plan)


rule provenance:
    input:
        **RECORDED,
        files=files_of_run(),
    output:
        paths.pattern("provenance"),
    log:
        paths.log("provenance"),
    conda:
        "../../envs/vision.yaml"
    params:
        sweep=rows_of_sweep(),
        layers=rows_of_layers(),
        # of each stage; settings are no parameters: one that changes a result runs its stage again
        stages={stage: code(stage) for stage in RECORDED},
        factories=factories_of_run(),
        code=code("provenance"),
    message:
        "record how the results came about"
    script:
        "../scripts/provenance.py"
