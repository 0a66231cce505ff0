"""The checked configuration, the plan of the run, and the questions that rules ask about it."""

import os
import shutil
import sys
import tempfile
import threading
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.io import flag
from snakemake.logging import logger

# a head node needs no installed package to plan a run
sys.path.append(str(Path(workflow.source_path("../../src/dnd/__init__.py")).parents[1]))
try:
    from dnd.run import checks, leftovers
    from dnd.run import plan as planning
    from dnd.config import shipped
    from dnd.probe import sources as probe_sources
    from dnd.run import code_digest as sources, lock as run_lock
    from dnd.run.status import snakemake_log as run_log
    from dnd.config.load import ConfigError, file_of, refuse_code
    from dnd.config.evaluation import EvaluationSettings
    from dnd.config.backends import COMPUTE, SERVERS
    from dnd.config.sweep import counterpart, layers_table, spell
except ModuleNotFoundError as error:
    raise WorkflowError(
        f"{error}: `make vision` builds an environment that has it, .venv"
    ) from None

try:
    for file in workflow.overwrite_configfiles or ["config/config.yaml"]:
        refuse_code(file)
except ConfigError as error:
    raise WorkflowError(f"configuration:\n{error}") from None

# another file replaces this one; merging the two would mix their models
if not workflow.overwrite_configfiles:

    configfile: "config/config.yaml"


# jobs of a run whose plan held need not look at files again
look = checks.thoroughly if workflow.is_main_process else checks.quickly
settings, sweep_tables, mistakes, digests, doubts = look(config, workflow.configfiles)
RESULTS = f"results/{settings.run}"
GROUPS = Path(RESULTS, "groups.tsv")
# the inventory makes layers known, and models are fetched before it
layers_may_lack = any(
    asked in word for asked in ("inventory", "modules", "prefetch") for word in sys.argv
)
sweep_layers = [] if sweep_tables.unknown else sweep_tables.layers
spoilt = leftovers.spoilt(RESULTS) if workflow.is_main_process else {}
try:
    earlier_groups = {} if GROUPS in spoilt else planning.read_groups(GROUPS)
except ConfigError as error:
    mistakes.append(str(error))
mistakes += [] if layers_may_lack else sweep_tables.unknown
mistakes += [
    f"{word}: no result is named so; a configuration stands behind --configfile"
    for before, word in pairwise(sys.argv)
    if workflow.is_main_process
    and word.endswith((".yaml", ".yml"))
    and "=" not in word
    and "profile" not in before
    and Path(word).absolute() not in workflow.configfiles
]
if mistakes:
    raise WorkflowError("\n".join(["configuration:", *mistakes]))
for doubt in doubts:
    logger.warning(doubt)
config.update(shipped.resolved(config))  # in place: scripts read it, too
# before Snakemake looks which files there are
for path, damage in spoilt.items():
    logger.warning(f"{path} is {damage}, as a power cut leaves files: made again")
    if not workflow.output_settings.dryrun:
        leftovers.remove_spoilt(path)
slugs = {layer: slug for layer, (slug, _) in sweep_tables.known.items()}
plan = planning.Plan(settings, sweep_layers, slugs, earlier_groups)

if GROUPS.exists():
    # so that it travels to pods, which plan again what they run
    workflow.configfiles.append(str(GROUPS))

LAYER = f"{RESULTS}/{{name}}/{{slug}}"
PASS = (
    f"{RESULTS}/activations/{{model}}/{{probe}}/{{pooling}}-{{sign}}-{{k}}-{{controls}}"
)
BUNDLE = "{model}/{probe}/{recipe}/{bundle}"
DISSECTIONS = ("network-dissection", "compositional")
DISSECTION = f"{RESULTS}/dissection/{{model}}/{{probe}}/{{sign}}/{{slug}}"
# A job that asks a language model has a second thread for the server that it starts, unless one runs elsewhere.
ASKING_THREADS = 1 if settings.llm.base_url or SERVERS in os.environ else 2
# Where a store is changes no result, so that scripts find it here and not among their parameters.
config["store"] = os.environ.get("DND_STORE", str(settings.store))


def mend_slurm_executor():
    """Let jobs that Slurm ended for another's sake count as failed, so that they are tried again.

    Version 2.8.0 of the executor waits for ever for a pre-empted job that Slurm does not requeue, and for one that
    sacct, unlike squeue, calls "CANCELLED by" somebody.
    """
    executor = sys.modules["snakemake_executor_plugin_slurm"]
    ask = executor.query_job_status

    async def states_of_jobs(*arguments):
        states, seconds = await ask(*arguments)
        ended = ("PREEMPTED", "CANCELLED")
        return (
            states
            and {
                job: "CANCELLED" if one.startswith(ended) else one
                for job, one in states.items()
            },
            seconds,
        )

    executor.query_job_status = states_of_jobs


def mend_scheduler(scheduler):
    """Let one timer at a time wake the scheduler, so that a long run does not wear out the machine that it is started on.

    Version 9.27 starts a timer of a second for every job that ends, and one more whenever a timer is over. Each time it
    looks at the inputs of all jobs that are ready, after 150 jobs 150 times a second.
    """
    waiting = threading.Event()

    def over():
        waiting.clear()
        scheduler._open_jobs.release()

    def wake(seconds):
        if not waiting.is_set():
            waiting.set()
            timer = threading.Timer(seconds, over)
            timer.daemon = True  # else it holds up the end of the run
            timer.start()

    scheduler._schedule_reevalutation = wake


LOCKS = []  # open for as long as the run lasts
if not workflow.is_main_process:
    # on a cluster's node, whose jobs outlive the run until the next one cancels them
    os.environ.pop(run_lock.RUN, None)


def begin():
    """Take the folder for this run, mend Snakemake, and remember the plan."""
    try:
        LOCKS.append(run_lock.take(Path.cwd()))  # a killed run needs no --unlock
    except BlockingIOError:
        raise WorkflowError(f"another run is at work in {Path.cwd()}") from None
    mend_scheduler(workflow.scheduler)
    if workflow.executor_plugin.name == "slurm":
        mend_slurm_executor()
        if found := leftovers.cancel(Path.cwd()):
            logger.info(
                f"cancelled jobs that an earlier run left in Slurm's queue: {', '.join(found)}"
            )
    if found := leftovers.remove_partial(RESULTS, config["store"]):
        logger.info(f"removed what killed jobs were writing: {len(found)} files")
    try:
        planning.write_groups(GROUPS, plan.groups)
    except OSError as error:
        raise WorkflowError(
            f"{GROUPS} cannot be written: {error.strerror}; make room or choose another folder, and type the same command"
        ) from None


onstart:
    begin()


# Snakemake takes onstart from the main file alone, which is not this one where another workflow imports it.
if not workflow.modifier.is_main_snakefile():
    importers_start = workflow._onstart
    workflow._onstart = lambda log: (importers_start(log), begin())


def explain(logs):
    """Say what a job that failed could not: what the system ended it for, and which disk is full."""
    for log in logs:
        for reason in run_log.endings(Path(log).read_text(errors="replace")):
            logger.error(reason)
    # A job's log lies on the same disk and says nothing when that is full.
    temporary = os.environ.get("TMPDIR") or tempfile.gettempdir()
    for folder in (RESULTS, config["store"], temporary):
        if Path(folder).exists() and shutil.disk_usage(folder).free < 20e6:
            logger.error(
                f"{folder}: no space left on the disk; make room, and the same command goes on"
            )


onerror:
    explain(log)


if not workflow.modifier.is_main_snakefile():
    importers_error = workflow._onerror
    workflow._onerror = lambda log: (importers_error(log), explain(log))


# Looked at with `--software-deployment-method apptainer` only; envs/Dockerfile builds it.
container: os.environ.get("DND_IMAGE", "docker://dnd:0.1.0")


wildcard_constraints:
    name=r"[^/]+",
    slug=r"[^/]+",
    model=r"[^/]+",
    probe=r"[^/]+",
    recipe=r"[^/]+",
    pooling="mean|max|cls",
    sign="positive|negative",
    k=r"\d+",
    controls=r"\d+",
    shard=r"\d{5}",
    units=r"\d+-\d+",
    group=r"\d+",
    bundle=r"\d+-\d+",
    part=r"\d{3}",


@lru_cache
def code(*scripts, others=()):
    """Digest of scripts and of the library's code that they run: its change, and no other, runs a stage again."""
    files = [workflow.source_path(f"../scripts/{name}.py") for name in scripts]
    return sources.digest(map(Path, files), map(Path, others))


def layer_of(wildcards):
    """The layer of a job with the wildcards name and slug."""
    return plan.layer(wildcards.name, wildcards.slug)


def recipe_name(wildcards):
    """The name of a job's recipe, by the wildcard recipe or by its layer."""
    return wildcards.get("recipe") or layer_of(wildcards).recipe


def recipe_of(wildcards):
    """The recipe of a job."""
    return settings.recipes[recipe_name(wildcards)]


@lru_cache
def plain(recipe, name):
    """A part of a recipe as plain values, without what changes no result: scripts find that in their configuration."""
    part = getattr(settings.recipes[recipe], name)
    return (
        part.model_dump(mode="json", exclude=COMPUTE)
        if hasattr(part, "model_dump")
        else part
    )


def whole_recipe(wildcards):
    """A job's whole recipe as plain values, without what changes no result."""
    recipe = recipe_of(wildcards)
    return recipe.model_dump(mode="json") | {
        key: plain(recipe_name(wildcards), key) for key in recipe.models()
    }


def recipe_part(name):
    """A params function that returns one part of the job's recipe as plain values."""
    return lambda wildcards: plain(recipe_name(wildcards), name)


def model_of(wildcards):
    """The name of a job's target network."""
    return wildcards.get("model") or layer_of(wildcards).model


def target_of(wildcards):
    """The settings of a job's target network as plain values."""
    target = settings.models[model_of(wildcards)].model_dump(mode="json")
    for judged in ("known_answers", "class_names"):
        target.pop(judged)
    return target


def code_of_target(wildcards):
    """Digest of the code that builds a job's target network, where it is a function of the user's."""
    target = settings.models[model_of(wildcards)]
    if target.source != "python":
        return None
    path = file_of(target.factory) or sources.located(
        target.factory.rpartition(":")[0], sys.path
    )
    return sources.digest([path]) if path else None


def units_of(wildcards):
    """The units of a job's shard."""
    return plan.unit_shards(layer_of(wildcards))[wildcards.units]


def all_units_of(wildcards):
    """All units that a job's layer is asked for."""
    return spell(layer_of(wildcards).units)


def recipe_file(key):
    """An input function that returns a file of the user's that a job's recipe names."""
    return lambda wildcards: here([str(getattr(recipe_of(wildcards), key))])


def verdict_of(wildcards):
    """The file of fitted weights of a job's recipe, where it has one."""
    scores = getattr(recipe_of(wildcards), "scores", None)
    return here([str(scores.verdict)] if scores and scores.verdict else [])


def prompts_of(wildcards):
    """The files of what a job's recipe asks the language model."""
    asked = recipe_of(wildcards).concepts
    return here(
        [
            str(path)
            for path in (asked.prompt, asked.simplify, asked.again, *asked.prompts)
            if path
        ]
    )


def annotation_files(wildcards):
    """The files that say what a probe's images show."""
    probes = [settings.probes[one] for one in probe_settings(wildcards)]
    named = [
        path
        for one in probes
        if one.annotations
        for path in (one.annotations.path, one.annotations.parents)
    ]
    return here(
        sorted(
            str(path / "index.csv" if path.is_dir() else path) for path in named if path
        )
    )


def probe_parts(kind):
    """An input function that returns the files of a kind of every shard of a job's probe."""

    def files(wildcards):
        probe = wildcards.get("probe") or layer_of(wildcards).probe
        return [
            f"{RESULTS}/probe/{probe}/{kind}-{i:05d}.parquet"
            for i in range(settings.probes[probe].shards)
        ]

    return files


probe_shards = probe_parts("images")


def probe_renders(wildcards):
    """The folders of a probe's images that are rendered first; none where the user has them all."""
    return [
        f"{RESULTS}/probe/{one}/source"
        for one in probe_sources.rendered(wildcards.probe, settings.probes)
    ]


def probe_settings(wildcards):
    """The settings of a probe, and of the members of a union, as plain values; shards change no listing."""
    names = {wildcards.probe, *probe_sources.members(wildcards.probe, settings.probes)}
    return {
        one: settings.probes[one].model_dump(mode="json", exclude={"shards"})
        for one in sorted(names)
    }


def truth_of(part, module):
    """A params function that returns the digest of the code that stands in for a model of a job's recipe, if any."""
    path = Path(sources.PACKAGE, "shapeworld", f"{module}.py")
    return lambda wildcards: (
        sources.digest([path]) if part in recipe_of(wildcards).oracles else None
    )


def streams_of(wildcards):
    """The streams of renders that a job's captions tell the truth of; None where a model writes them."""
    known = recipe_of(wildcards).captions.oracle
    return (
        probe_sources.streams(layer_of(wildcards).probe, settings.probes)
        if known
        else None
    )


@lru_cache
def content_of_probe(name):
    """Which files of the user a probe comes from, so that an image more or less packs it again."""
    return digests.get(name) or probe_sources.content(name, settings.probes)


def here(paths):
    """Mark files that every job finds where they are, as sources or on a volume: a storage provider has no copy."""
    found = [str(shipped.path(path)) for path in paths]
    return [flag(path, "sourcecache_entry", path) for path in found]


@lru_cache
def weights(model):
    """The files of a local model folder; none for a hub id, whose revision names what it holds."""
    files = Path(model).rglob("*") if os.path.isdir(model) else []
    return here(sorted(str(path) for path in files if path.is_file()))


def chat_template():
    """The file of the language model's chat template, where the configuration chooses one."""
    chosen = settings.llm.chat_template
    return here([chosen]) if chosen and os.path.isfile(chosen) else []


def weights_of(part):
    """An input function that returns the local files of one of the models of a job's recipe, where it has it."""

    def files(wildcards):
        named = getattr(recipe_of(wildcards), part)
        return weights(named.model) if named else []

    return files


@lru_cache
def files_of_target(name):
    """The local files that a target network is made from."""
    target = settings.models[name]
    hub = target.factory if target.source == "transformers" else None
    named = [
        *(hub, target.weights, target.preprocess, target.token_order),
        target.basis and target.basis.path,
    ]
    named += target.arguments.values()
    named += target.basis.description_files() if target.basis else []
    paths = [
        Path(value)
        for value in named
        if isinstance(value, str | Path) and os.path.exists(value)
    ]
    return here(
        sorted({file for path in paths for file in (weights(path) or [str(path)])})
    )


def target_files(wildcards):
    """The local files that a job's target network is made from."""
    return files_of_target(model_of(wildcards))


def topk_of(wildcards):
    """The merged activations of a job's layer."""
    layer = layer_of(wildcards)
    return f"{PASS}/{{slug}}.parquet".format(
        **plan.pass_of(layer)._asdict(), slug=layer.slug
    )


def pass_of(wildcards):
    """The pass that a job belongs to."""
    place = (wildcards[key] for key in ("model", "probe", "pooling", "sign"))
    return planning.Pass(*place, int(wildcards.k), int(wildcards.controls))


def layers_of_pass(wildcards):
    """Slug -> name of every layer that goes through a job's pass."""
    return plan.hooked(pass_of(wildcards), int(wildcards.group))


def parts_of_pass(wildcards):
    """What the passes over every shard of the probe found, of the group that the layer went with."""
    group = plan.group_of(pass_of(wildcards), wildcards.slug)
    return [
        f"{PASS}/parts/{group}/{part}-{i:05d}.parquet"
        for part in ("topk", "statistics", "controls")
        for i in range(settings.probes[wildcards.probe].shards)
    ]


def unit_shards(stage):
    """An input function that returns the files of a stage for all units of a layer."""

    def files(wildcards):
        layer = layer_of(wildcards)
        place = plan.serving(stage, layer)
        return [
            f"{RESULTS}/{place.name}/{place.slug}/{stage}/{units}.parquet"
            for units in plan.unit_shards(layer)
        ]

    return files


def shard_of(stage):
    """An input function that returns the file of a stage for a job's own shard of units."""

    def file(wildcards):
        place = plan.serving(stage, layer_of(wildcards))
        return f"{LAYER}/{stage}/{{units}}.parquet".format(
            name=place.name, slug=place.slug, units=wildcards.units
        )

    return file


def bundle_files(stage):
    """An input function that returns the files of a stage for every layer of a bundle."""
    return lambda wildcards: [
        path
        for layer in plan.bundles[bundle_of(wildcards)]
        for path in unit_shards(stage)(layer)
    ]


def bundle_of(wildcards):
    """The bundle of a job, by its wildcards or by its layer."""
    if wildcards.get("bundle"):
        return planning.Bundle(*(wildcards[key] for key in planning.Bundle._fields))
    return plan.bundle_of(layer_of(wildcards))


def reads_vectors(recipe):
    """Whether a recipe compares texts to find its candidates."""
    return settings.recipes[recipe].concepts.reads_vectors


def text_embedder_of(wildcards):
    """The local files of the embedder of a job's recipe, where it compares texts to find candidates."""
    return weights_of("embedder")(wildcards) if reads_vectors(wildcards.recipe) else []


def look_alikes_of(wildcards):
    """The look-alikes of every layer of a job's bundle, where its recipe shows them."""
    asked = recipe_of(wildcards).concepts
    return (
        bundle_files("look-alikes")(wildcards)
        if asked.look_alikes and not asked.known_answers
        else []
    )


def joining(bundle):
    """The layers of a bundle, each with the layer of the other recipe whose candidates join its own."""
    asked = settings.recipes[bundle.recipe].concepts
    if asked.also is None or asked.known_answers:
        return []
    return [
        (layer, counterpart(plan.layers, layer, asked.also))
        for layer in plan.bundles[bundle]
    ]


def also_of(wildcards):
    """What another recipe says of the layers of a job's bundle, where its candidates join."""
    return [descriptions_of(other) for _, other in joining(bundle_of(wildcards))]


def proposed_of(wildcards):
    """The concepts that were proposed from captions, of a job's bundle."""
    return f"{RESULTS}/concepts/{'/'.join(bundle_of(wildcards))}.parquet"


def refined_of(bundle):
    """The candidates of a bundle with better ones that were looked for; none where its recipe looks for none."""
    found = f"{RESULTS}/refinement/{'/'.join(bundle)}.parquet"
    return [found] if settings.recipes[bundle.recipe].refinement else []


def concepts_of(wildcards):
    """The candidate concepts of a job's bundle."""
    return refined_of(bundle_of(wildcards)) or proposed_of(wildcards)


def refinement_of(wildcards):
    """How a job's recipe looks for better candidates, and which language model it asks, as plain values."""
    refinement = recipe_of(wildcards).refinement
    own = refinement.llm or settings.llm
    return refinement.model_dump(mode="json", exclude={"llm"}) | {
        "model": [own.model, own.revision, own.max_model_len, own.chat_template]
    }


def stops(layer):
    """Whether the candidates of a layer are drawn unit by unit, until it is clear which of them leads."""
    return own_method(layer) and settings.recipes[layer.recipe].stopping is not None


def images_of(bundle):
    """The generated images of a bundle; none where its recipe has no generator, or draws them unit by unit."""
    recipe = settings.recipes[bundle.recipe]
    if recipe.generator is None or recipe.stopping is not None:
        return []
    return [
        f"{RESULTS}/images/{'/'.join(bundle)}/{part:03d}.parquet"
        for part in range(settings.shards.images)
    ]


def images_of_layer(layer):
    """The generated images of a layer's candidates, those of its bundle among them; none of another method's."""
    if stops(layer):
        return unit_shards("stopping")(layer)
    return images_of(plan.bundle_of(layer)) if own_method(layer) else []


def drawn_of(wildcards):
    """The images that a job's units are scored by, and where they were drawn unit by unit, how many each counts."""
    shard = f"{LAYER}/stopping/{{units}}".format(**wildcards)
    if stops(layer_of(wildcards)):
        return {"images": [f"{shard}.parquet"], "drawn": f"{shard}-drawn.parquet"}
    return {"images": images_of(bundle_of(wildcards))}


def own_method(layer):
    """Whether a layer is described by our own method, in its stages."""
    return settings.recipes[layer.recipe].method == "dnd"


def scores_of(wildcards):
    """The tables of scored candidates of a layer, whatever the method."""
    layer = layer_of(wildcards)
    method = settings.recipes[layer.recipe].method
    if method in ("dnd", "line"):
        return unit_shards("scores" if method == "dnd" else method)(wildcards)
    return f"{RESULTS}/{layer.name}/{layer.slug}/{method}.parquet"


def own_shards(stage):
    """An input function that returns the files of a stage of our own method for a layer; none of another method's."""
    return lambda wildcards: (
        unit_shards(stage)(wildcards) if own_method(layer_of(wildcards)) else []
    )


def descriptions_of(layer):
    """The descriptions of a layer."""
    return f"{RESULTS}/{layer.name}/{layer.slug}/descriptions.parquet"


def facets_of(layer):
    """The table of the several things that a layer's units respond to."""
    return f"{RESULTS}/{layer.name}/{layer.slug}/facets.parquet"


def pages_of(layer):
    """The folder of a layer's pages."""
    return f"{RESULTS}/{layer.name}/{layer.slug}/pages"


def worded_by(wildcards):
    """The tables of captions and of concepts of a job's layer, which record the models that worded them."""
    if not own_method(layer_of(wildcards)):
        return []
    return [
        *unit_shards("captions")(wildcards),
        proposed_of(wildcards),
        *refined_of(bundle_of(wildcards)),
    ]


def facts_of_page(layer):
    """What the pages of a layer call it."""
    facts = {
        key: getattr(layer, key)
        for key in ("name", "layer", "slug", "model", "probe", "recipe")
    }
    return facts | {"method": settings.recipes[layer.recipe].method}


def settings_of_page(wildcards):
    """What a layer's recipe says beyond the defaults, with the language model that it asks."""
    asks = recipe_of(wildcards).method in ("dnd", "line")
    return ({"llm.model": settings.llm.model} if asks else {}) | recipe_of(
        wildcards
    ).changed()


def files_of_site(*patterns):
    """Files of the library's that no script imports, as those of the page."""
    found = (
        path
        for pattern in patterns
        for path in sources.PACKAGE.glob(pattern)
        if path.is_file()
    )
    return tuple(sorted(map(str, found)))


def known_answers_of(model):
    """The file of known answers of a network, where it has one."""
    return here(
        [str(settings.models[model].known_answers)]
        if settings.models[model].known_answers
        else []
    )


def dissected(wildcards):
    """The layers of the sweep that a comparison of maps and masks serves."""
    place = tuple(wildcards[key] for key in ("model", "probe", "slug", "sign"))
    found = [
        layer
        for layer in plan.layers
        if settings.recipes[layer.recipe].method in DISSECTIONS
    ]
    return [
        one
        for one in found
        if (one.model, one.probe, one.slug, settings.recipes[one.recipe].sign) == place
    ]


def dissection_of(wildcards):
    """What the comparison of maps and masks has left for a job's layer."""
    layer = layer_of(wildcards)
    place = DISSECTION.format(
        model=layer.model,
        probe=layer.probe,
        slug=layer.slug,
        sign=recipe_of(wildcards).sign,
    )
    return {one: f"{place}-{one}.parquet" for one in ("patterns", "overlaps")}


def answers_of(wildcards):
    """The file of known answers of a job's network, where its recipe lets them stand in for the language model."""
    known = recipe_of(wildcards).concepts.known_answers
    return here(
        [str(settings.models[model_of(wildcards)].known_answers)] if known else []
    )


def known_answers():
    """The files of known answers of the models in the sweep."""
    models = sorted({layer.model for layer in plan.layers})
    return {
        name: str(settings.models[name].known_answers)
        for name in models
        if settings.models[name].known_answers
    }


def tables_of_run():
    """Stage -> the tables that it left for the results of the run, one of each job."""
    probes = dict.fromkeys(layer.probe for layer in plan.layers)
    own = [layer for layer in plan.layers if own_method(layer)]
    passes = dict.fromkeys(
        (plan.pass_of(layer), plan.group_of(plan.pass_of(layer), layer.slug))
        for layer in plan.layers
    )
    rivals = {}  # by the names of their scripts
    for layer in plan.layers:
        if not own_method(layer):
            method = settings.recipes[layer.recipe].method.replace("-", "_")
            found = scores_of(layer)
            rivals.setdefault(method, []).extend(
                [found] if isinstance(found, str) else found
            )
    drawn = [
        path
        for layer in plan.layers
        if stops(layer)
        for path in unit_shards("stopping")(layer)
    ]
    refined = [path for bundle in plan.bundles for path in refined_of(bundle)]
    alike = [
        path for bundle in plan.bundles for path in look_alikes_of(bundle._asdict())
    ]
    return {
        "probe": [path for probe in probes for path in probe_shards({"probe": probe})],
        "activations": [
            f"{PASS}/parts/{group}/statistics-{i:05d}.parquet".format(**one._asdict())
            for one, group in passes
            for i in range(settings.probes[one.probe].shards)
        ],
        "topk": list(dict.fromkeys(map(topk_of, plan.layers))),
        **{
            stage: list(
                dict.fromkeys(
                    path for layer in own for path in unit_shards(stage)(layer)
                )
            )
            for stage in ("exemplars", "captions")
        },
        **({"look_alikes": alike} if alike else {}),
        "concepts": [
            f"{RESULTS}/concepts/{'/'.join(bundle)}.parquet" for bundle in plan.bundles
        ],
        **({"refinement": refined} if refined else {}),
        "images": [path for bundle in plan.bundles for path in images_of(bundle)],
        **({"stopping": drawn} if drawn else {}),
        "scores": [path for layer in own for path in unit_shards("scores")(layer)],
        "descriptions": [descriptions_of(layer) for layer in plan.layers],
        **rivals,
        "evaluation": [f"{RESULTS}/evaluation.parquet"],
    }


def files_of_run():
    """The user's own files that the results depend on, but for images and for folders of foundation models."""
    named = [
        path
        for layer in plan.layers
        for path in settings.recipes[layer.recipe].files().values()
    ]
    prompts = {str(path) for path in named if path.is_file()}
    targets = {file for layer in plan.layers for file in files_of_target(layer.model)}
    return (
        here(sorted(prompts | targets | set(known_answers().values())))
        + chat_template()
    )


def factories_of_run():
    """Target network -> digest of the code that builds it, where that is a function of the user's."""
    digests = {
        layer.model: code_of_target({"model": layer.model}) for layer in plan.layers
    }
    return {model: digest for model, digest in digests.items() if digest}


def sweep_of_run():
    """The rows of the sweep, and those of layers.tsv that they use."""
    rows = [
        {
            **{
                column: getattr(row, column)
                for column in ("name", "model", "probe", "recipe")
            },
            "layers": ",".join(row.layers),
            "units": spell(row.units or ()),
        }
        for row in sweep_tables.rows
    ]
    known = sweep_tables.known
    used = dict.fromkeys((layer.model, layer.layer) for layer in plan.layers)
    return rows, [
        {
            "model": model,
            "layer": layer,
            "slug": sweep_tables.known[model, layer][0],
            "units": str(sweep_tables.known[model, layer][1]),
        }
        for model, layer in used
    ]


def final_output(wildcards):
    """Everything that the configuration asks for."""
    if sweep_tables.unknown:
        raise WorkflowError("\n".join(["configuration:", *sweep_tables.unknown]))
    tables = [
        f"{RESULTS}/{one.name}/{one.slug}/descriptions.{end}"
        for one in plan.layers
        for end in ("parquet", "csv")
    ]
    rejected = [
        f"{RESULTS}/probe/{probe}/rejected.parquet"
        for probe in sorted({one.probe for one in plan.layers})
    ]
    ends = (
        "evaluation.parquet",
        "comparisons.parquet",
        "report/index.html",
        "provenance.json",
    )
    return [*tables, *rejected, *(f"{RESULTS}/{end}" for end in ends), *beyond_labels()]
