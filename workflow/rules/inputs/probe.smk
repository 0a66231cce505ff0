"""What the rules of probe.smk ask about their jobs."""

from dnd.probe import sources as probe_sources


def probe_renders(wildcards):
    """The folders of a probe's images that are rendered first; none where the user has them all."""
    rendered = probe_sources.rendered(wildcards.probe, settings.probes)
    return [paths.file("renders", probe=probe) for probe in rendered]


def probe_settings(wildcards):
    """The settings of a probe, and of the members of a union, as plain values; shards change no listing."""
    names = {wildcards.probe, *probe_sources.members(wildcards.probe, settings.probes)}
    return {
        name: settings.probes[name].model_dump(mode="json", exclude={"shards"})
        for name in sorted(names)
    }


def scenes_of(probe):
    """Which scenes a probe's renders show, as plain values; None where every value comes equally often."""
    return probe.scenes and probe.scenes.model_dump(mode="json")


@lru_cache
def content_of_probe(name):
    """Which files of the user a probe comes from, so that an image more or less packs it again."""
    return digests.get(name) or probe_sources.content(name, settings.probes)
