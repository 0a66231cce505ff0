"""In: EXEMPLARS of a unit shard and the probe. Out: CAPTIONS of the distinct ones."""

from dnd import captions, jobs, tables
from dnd.backends.captioner import BlipCaptioner
from dnd.settings import CaptionSettings
from dnd.store import Store

jobs.begin(snakemake.log[0], snakemake.threads)
settings = CaptionSettings(**snakemake.params.captions)
found = captions.run(
    BlipCaptioner(settings),
    tables.read(snakemake.input.exemplars, tables.EXEMPLARS, ["image_id", "box"]),
    snakemake.input.probe,
    settings,
    Store(snakemake.config["store"] + "/captions"),
)
tables.write(snakemake.output[0], found, tables.CAPTIONS)
