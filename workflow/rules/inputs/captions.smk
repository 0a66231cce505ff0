"""What the rules of captions.smk ask about their jobs."""

from dnd.probe import sources as probe_sources


def streams_of(wildcards):
    """The streams of renders that a job's captions tell the truth of, as plain values; None where a model writes."""
    if not recipe_of(wildcards).captions.oracle:
        return None
    streams = probe_sources.streams(layer_of(wildcards).probe, settings.probes)
    return {
        beginning: stream.model_dump(mode="json")
        for beginning, stream in streams.items()
    }
