"""In: EXEMPLARS of a unit shard and the probe. Out: CAPTIONS of the distinct ones."""

from dnd import captions, jobs, tables
from dnd.backends.captioner import TransformersCaptioner
from dnd.backends.endpoint_captioner import EndpointCaptioner
from dnd.settings import CaptionSettings
from dnd.store import Store

job = jobs.begin(snakemake.log[0], snakemake.threads)
# not from the parameters, which leave out where a server is
settings = CaptionSettings(**snakemake.config["recipes"][snakemake.params.recipe]["captions"])
found = captions.run(
    EndpointCaptioner(settings) if settings.base_url else TransformersCaptioner(settings),
    tables.read(snakemake.input.exemplars, tables.EXEMPLARS, ["image_id", "box"]),
    snakemake.input.probe,
    settings,
    Store(snakemake.config["store"] + "/captions"),
    snakemake.params.square,
)
tables.write(snakemake.output[0], found, tables.CAPTIONS, origin=job.origin())
