"""What the rules of scores.smk and scales.smk ask about their jobs."""


def images_of(wildcards):
    """The pictures of the concepts of a job's layer."""
    return paths.images(layer_of(wildcards))


def scales_of(wildcards):
    """The fitted scales of a job's embedder, where they are fitted."""
    return paths.scales(layer_of(wildcards))


def verdict_of(wildcards):
    """The file of fitted weights of a job's recipe, where it has one."""
    scores = getattr(recipe_of(wildcards), "scores", None)
    return here([scores and scores.verdict])
