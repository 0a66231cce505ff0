"""What the rules of captions.smk ask about their jobs."""

from dnd.probe import sources as probe_sources


def streams_of(wildcards):
    """The streams of renders that a job's captions tell the truth of; None where a model writes them."""
    return (
        probe_sources.streams(layer_of(wildcards).probe, settings.probes)
        if recipe_of(wildcards).captions.oracle
        else None
    )
