rule modules:
    input:
        target=target_files,
    output:
        f"{RESULTS}/modules/{{model}}.tsv",
    log:
        f"{RESULTS}/logs/modules/{{model}}.log",
    conda:
        "../../envs/vision.yaml"
    params:
        target=target_of,
        factory=code_of_target,
        code=code("modules"),
    message:
        "list the modules of {wildcards.model}"
    script:
        "../scripts/modules.py"


# It makes no file of its own, so that it runs whenever it is asked for.
rule inventory:
    input:
        [
            f"{RESULTS}/modules/{model}.tsv"
            for model in dict.fromkeys(row.model for row in sweep_tables.rows)
        ],
    log:
        f"{RESULTS}/logs/inventory.log",
    localrule: True
    conda:
        "../../envs/vision.yaml"
    params:
        table=str(layers_table(settings)),
        wanted=[
            [row.where, row.model, layer]
            for row in sweep_tables.rows
            for layer in row.layers
        ],
    message:
        "add the layers of the sweep to {params.table}"
    script:
        "../scripts/inventory.py"
