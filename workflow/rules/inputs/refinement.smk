"""What the rules of refinement.smk ask about their jobs."""


def model_that_refines(wildcards):
    """The language model that a job's recipe asks for better candidates."""
    return recipe_of(wildcards).refinement.llm or settings.llm


def refinement_of(wildcards):
    """How a job's recipe looks for better candidates, and which language model it asks, as plain values."""
    refinement = recipe_of(wildcards).refinement
    return refinement.model_dump(mode="json", exclude={"llm"}) | {
        "model": model_that_refines(wildcards).identity
    }
