"""What the rules of report.smk ask about their jobs."""

from dnd.run.code_digest import PACKAGE


def worded_by(wildcards):
    """The tables of captions and of concepts of a job's layer, which record the models that worded them."""
    layer = layer_of(wildcards)
    if not plan.is_ours(layer):
        return []
    bundle = plan.bundle_of(layer)
    return [
        *paths.shards("captions", layer),
        paths.of_bundle("concepts", bundle),
    ]


def facts_of_page(wildcards):
    """What the pages of a layer call it."""
    layer = layer_of(wildcards)
    keys = ("name", "layer", "slug", "model", "probe", "recipe")
    facts = {key: getattr(layer, key) for key in keys}
    return facts | {"method": settings.recipes[layer.recipe].method}


def settings_of_page(wildcards):
    """What a layer's recipe says beyond the defaults, with the language model that it asks."""
    recipe = recipe_of(wildcards)
    asks = recipe.method in ("dnd", "line")
    return ({"llm.model": settings.llm.model} if asks else {}) | recipe.changed()


def files_of_site(*patterns):
    """Files of the library's that no script imports, as those of the page."""
    files = (file for pattern in patterns for file in PACKAGE.glob(pattern))
    return tuple(sorted(str(file) for file in files if file.is_file()))
