from dnd.config.layer_table import layers_table


rule modules:
    input:
        target=target_files,
    output:
        paths.pattern("modules"),
    log:
        paths.log("modules"),
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
            paths.file("modules", model=model)
            for model in dict.fromkeys(row.model for row in sweep_tables.rows)
        ],
    log:
        paths.log("inventory"),
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
