"""What the rules of evaluation.smk ask about their jobs."""

from dnd.config import scenes
from dnd.probe import sources as probe_sources


def judged_together(wildcards):
    """The layers of the sweep that are one layer of one network, by whatever method they are described."""
    return plan.judged[wildcards.model, wildcards.slug]


def descriptions_judged(wildcards):
    """The descriptions of a layer by every method."""
    return [
        paths.of_layer("descriptions", layer) for layer in judged_together(wildcards)
    ]


def half_of(layer):
    """What a layer shares with the same one that sees another part of the same probe; None without parts."""
    probe = settings.probes[layer.probe]
    return probe.model_dump_json(exclude={"part"}) if probe.part else None


def evaluation_settings(wildcards):
    """The settings of the evaluation as plain values."""
    return settings.evaluation.model_dump(mode="json")


def class_files(wildcards):
    """The file of class names of a layer whose units are classes."""
    layer = judged_together(wildcards)[0]
    return here([settings.models[layer.model].class_names.get(layer.layer)])


def known_answers():
    """Network -> file of its known answers, of those in the sweep that have one."""
    models = sorted({layer.model for layer in plan.layers})
    named = {model: settings.models[model].known_answers for model in models}
    return {model: str(file) for model, file in named.items() if file}


def class_names():
    """Network -> layer -> file of its units' classes, of networks in the sweep that have some."""
    models = sorted({layer.model for layer in plan.layers})
    named = {model: settings.models[model].class_names for model in models}
    return {
        model: {layer: str(file) for layer, file in files.items()}
        for model, files in named.items()
        if files
    }


def held_out_streams(wildcards):
    """The streams of renders of the held-out images, as plain values; empty where some are no renders."""
    name = settings.evaluation.held_out
    return scenes.plain(
        probe_sources.rendered_streams(name, settings.probes) if name else {}
    )
