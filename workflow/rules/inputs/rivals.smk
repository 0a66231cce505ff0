"""What the rules of rivals.smk ask about their jobs."""

from dnd.config.sweep import spell


def recipe_file(key):
    """An input function that returns a file of the user's that a job's recipe names."""
    return lambda wildcards: here([getattr(recipe_of(wildcards), key)])


def whole_recipe(wildcards):
    """A job's whole recipe as plain values, without what changes no result."""
    recipe = recipe_of(wildcards)
    models = {key: recipe.plain(key) for key in recipe.models()}
    return recipe.model_dump(mode="json") | models


def all_units_of(wildcards):
    """All units that a job's layer is asked for."""
    return spell(layer_of(wildcards).units)


def annotation_files(wildcards):
    """The files that say what a probe's images show."""
    sections = [settings.probes[name].annotations for name in probe_settings(wildcards)]
    named = [
        file
        for annotations in sections
        if annotations
        for file in (annotations.path, annotations.parents)
        if file
    ]
    return here(
        sorted(str(file / "index.csv" if file.is_dir() else file) for file in named)
    )


def dissected(wildcards):
    """The layers of the sweep that a comparison of maps and masks serves."""
    return plan.dissected(
        wildcards.model, wildcards.probe, wildcards.slug, wildcards.sign
    )


def dissection_of(wildcards):
    """What the comparison of maps and masks has left for a job's layer."""
    layer = layer_of(wildcards)
    place = {key: getattr(layer, key) for key in ("model", "probe", "slug")}
    place["sign"] = recipe_of(wildcards).sign
    return {kind: paths.file(kind, **place) for kind in ("patterns", "overlaps")}
