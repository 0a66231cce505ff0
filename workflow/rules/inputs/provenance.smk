"""What the rules of provenance.smk ask about their jobs."""

from dnd.config.sweep import spell
from dnd.run import tasks


def files_of_run():
    """The user's own files that the results depend on, but for images and for folders of foundation models."""
    named = [
        file
        for layer in plan.layers
        for file in settings.recipes[layer.recipe].files().values()
    ]
    prompts = {str(file) for file in named if file.is_file()}
    targets = {file for layer in plan.layers for file in files_of_target(layer.model)}
    return (
        here(sorted(prompts | targets | set(known_answers().values())))
        + chat_template()
    )


def factories_of_run():
    """Target network -> digest of the code that builds it, where that is a function of the user's."""
    models = dict.fromkeys(layer.model for layer in plan.layers)
    digests_of_code = {model: code_of_target({"model": model}) for model in models}
    return {model: digest for model, digest in digests_of_code.items() if digest}


def rows_of_sweep():
    """The rows of the sweep, as its table has them."""
    columns = ("name", "model", "probe", "recipe")
    return [
        {column: getattr(row, column) for column in columns}
        | {"layers": ",".join(row.layers), "units": spell(row.units or ())}
        for row in sweep_tables.rows
    ]


def rows_of_layers():
    """The rows of layers.tsv that the sweep uses."""
    used = dict.fromkeys((layer.model, layer.layer) for layer in plan.layers)
    known = ((model, layer, *sweep_tables.known[model, layer]) for model, layer in used)
    return [
        {"model": model, "layer": layer, "slug": slug, "units": str(units)}
        for model, layer, slug, units in known
    ]
