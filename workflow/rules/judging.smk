"""The questions that the rules of the evaluation and of audits ask about the plan."""


def judged_together(wildcards):
    """The layers of the sweep that are one layer of one network, by whatever method they are described."""
    return [
        layer
        for layer in judged_layers()
        if (layer.model, layer.slug) == (wildcards.model, wildcards.slug)
    ]


def judged_layers():
    """The layers of the sweep that a method describes: known answers suffice to judge what stands in for a part."""
    return [
        layer for layer in plan.layers if not settings.recipes[layer.recipe].oracles
    ]


def judged_files():
    """The tables of metrics beyond known answers, one for each layer of a network; none where none is asked for."""
    if settings.evaluation == EvaluationSettings():
        return []
    places = dict.fromkeys((layer.model, layer.slug) for layer in judged_layers())
    return [f"{RESULTS}/evaluation/{model}/{slug}.parquet" for model, slug in places]


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
    named = settings.models[layer.model].class_names.get(layer.layer)
    return here([str(named)] if named else [])


def audit_of(wildcards):
    """The settings of an audit."""
    return settings.audits[wildcards.audit]


def audited(wildcards):
    """The layer that an audit is about."""
    audit = audit_of(wildcards)
    return next(
        one for one in plan.layers if (one.name, one.layer) == (audit.row, audit.layer)
    )


def beyond_labels():
    """The results of causal checks that the configuration asks for."""
    found = [
        f"{RESULTS}/audits/{one}.{end}"
        for one in settings.audits
        for end in ("parquet", "svg")
    ]
    return list(
        dict.fromkeys(
            [*found, *(path for layer in plan.layers for path in importance_of(layer))]
        )
    )


def importance_of(layer):
    """The table of what a layer's units add to the network's answers, where the configuration asks for it."""
    return (
        [f"{RESULTS}/importance/{layer.model}/{layer.probe}/{layer.slug}.parquet"]
        if settings.importance
        else []
    )
