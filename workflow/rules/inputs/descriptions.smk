"""What the rules of descriptions.smk ask about their jobs."""

from dnd.config.sweep import spell


def own_shards(stage):
    """An input function that returns the tables of a stage of our own method for a layer; none of another method's."""
    return lambda wildcards: (
        paths.shards(stage, layer_of(wildcards))
        if plan.is_ours(layer_of(wildcards))
        else []
    )


def explains_of(wildcards):
    """What the labels of a layer explain, where an embedder tells."""
    return paths.explains(layer_of(wildcards))
