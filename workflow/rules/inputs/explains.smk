"""What the rules of explains.smk ask about their jobs."""


def scores_of(wildcards):
    """The tables of scored candidates of a layer, whatever the method."""
    return paths.scores(layer_of(wildcards))
