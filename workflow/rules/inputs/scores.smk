"""What the rules of scores.smk ask about their jobs."""


def drawn_of(wildcards):
    """The images that a job's units are scored by, and where they were drawn unit by unit, how many each counts."""
    layer = layer_of(wildcards)
    if recipe_of(wildcards).stopping is None:
        return {"images": paths.images(layer)}
    return {
        "images": [paths.shard("stopping", layer, wildcards.units)],
        "drawn": paths.shard("drawn", layer, wildcards.units),
    }


def verdict_of(wildcards):
    """The file of fitted weights of a job's recipe, where it has one."""
    scores = getattr(recipe_of(wildcards), "scores", None)
    return here([scores and scores.verdict])
