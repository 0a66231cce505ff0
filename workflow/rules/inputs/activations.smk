"""What the rules of activations.smk ask about their jobs."""

from dnd.run.plan import Pass


def pass_of(wildcards):
    """The pass that a job belongs to."""
    place = (wildcards[key] for key in ("model", "probe", "pooling", "sign"))
    return Pass(*place, int(wildcards.k), int(wildcards.controls))


def layers_of_pass(wildcards):
    """Slug -> name of every layer that goes through a job's pass."""
    return plan.hooked(pass_of(wildcards), int(wildcards.group))


def parts_of_pass(kind):
    """An input function that returns the tables of every probe shard, of the group that the layer went with."""
    return lambda wildcards: paths.of_pass(
        kind,
        pass_of(wildcards),
        plan.group_of(pass_of(wildcards), wildcards.slug),
    )
