"""What the rules of scores.smk ask about their jobs."""


def verdict_of(wildcards):
    """The file of fitted weights of a job's recipe, where it has one."""
    scores = getattr(recipe_of(wildcards), "scores", None)
    return here([scores and scores.verdict])
