"""What the rules of audits.smk ask about their jobs."""


def audit_of(wildcards):
    """The settings of an audit."""
    return settings.audits[wildcards.audit]


def audited(wildcards):
    """The layer that an audit is about."""
    audit = audit_of(wildcards)
    return next(
        layer
        for layer in plan.layers
        if (layer.name, layer.layer) == (audit.row, audit.layer)
    )
