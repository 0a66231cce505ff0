"""In: EXEMPLARS and CAPTIONS of a bundle's unit shards, the probe where images are shown. Out: CONCEPTS and ANSWERS."""

from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from dnd import concepts, jobs, pictures, tables, views
from dnd.backends import llm
from dnd.settings import ConceptSettings, LlmSettings
from dnd.store import Store

job = jobs.begin(snakemake.log[0], snakemake.threads)
params = snakemake.params
settings = ConceptSettings(**params.concepts)
ask = partial(
    llm.ask,
    settings=LlmSettings(**snakemake.config["llm"]),  # where the server is changes no answer, so it is no parameter
    store=Store(snakemake.config["store"] + "/answers"),
    log_path=Path(snakemake.log.server),
    note=job.note,
)
layers = [
    (name, slug, tables.read(path, tables.EXEMPLARS, ["unit", "rank", "image_id", "box"]))
    for (name, slug, _), path in zip(params.layers, snakemake.input.exemplars, strict=True)
]
if settings.show_images:
    with TemporaryDirectory(prefix="dnd-views-") as folder:
        places = {pictures.place(row) for _, _, exemplars in layers for row in exemplars.to_pylist()}
        names = views.write(places, snakemake.input.probe, Path(folder), params.square)
        units = [unit for layer in layers for unit in concepts.unit_images(*layer, names)]
        found, answers = concepts.propose(units, ask, settings, partial(views.url, Path(folder)))
else:
    captions = [tables.read(path, tables.CAPTIONS) for path in snakemake.input.captions]
    units = [
        unit for layer, texts in zip(layers, captions, strict=True) for unit in concepts.unit_captions(*layer, texts)
    ]
    found, answers = concepts.propose(units, ask, settings)
origin = job.origin()
tables.write(snakemake.output.answers, answers, tables.ANSWERS, origin=origin)
tables.write(snakemake.output.concepts, found, tables.CONCEPTS, row_group_size=4096, origin=origin)
