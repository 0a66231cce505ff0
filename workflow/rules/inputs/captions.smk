"""What the rules of captions.smk ask about their jobs."""

from dnd.config import scenes
from dnd.probe import sources as probe_sources


def streams_of(wildcards):
    """The streams of renders that a job's captions tell the truth of, as plain values; None where a model writes."""
    if not recipe_of(wildcards).captions.oracle:
        return None
    return scenes.plain(
        probe_sources.streams(layer_of(wildcards).probe, settings.probes)
    )
