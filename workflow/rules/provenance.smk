rule provenance:
    input:
        **tables_of_run(),
        files=files_of_run(),
    output:
        f"{RESULTS}/provenance.json",
    log:
        f"{RESULTS}/logs/provenance.log",
    conda:
        "../../envs/vision.yaml"
    params:
        sweep=sweep_of_run()[0],
        layers=sweep_of_run()[1],
        # of each stage; settings are no parameters: one that changes a result runs its stage again
        stages={stage: code(stage) for stage in tables_of_run()},
        factories=factories_of_run(),
        code=code("provenance"),
    message:
        "record how the results came about"
    script:
        "../scripts/provenance.py"
