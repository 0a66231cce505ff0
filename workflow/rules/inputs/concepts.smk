"""What the rules of concepts.smk ask about their jobs."""

from dnd.config.backends import SERVERS

# A job that asks a language model has a second thread for the server that it starts, unless one runs elsewhere.
ASKING_THREADS = 1 if settings.llm.base_url or SERVERS in os.environ else 2


def chat_template():
    """The file of the language model's chat template, where the configuration chooses one."""
    template = settings.llm.chat_template
    return here([template]) if template and os.path.isfile(template) else []


def answers_of(wildcards):
    """The file of known answers of a job's network, where its recipe lets them stand in for the language model."""
    known = recipe_of(wildcards).concepts.known_answers
    return here([known and settings.models[target_name(wildcards)].known_answers])


def reads_vectors(wildcards):
    """Whether a job's recipe compares texts to ask about them."""
    return recipe_of(wildcards).concepts.reads_vectors
