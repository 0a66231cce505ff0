include: "inputs/probe.smk"


rule shapeworld_images:
    output:
        directory(paths.pattern("renders")),
    log:
        paths.log("shapeworld_images"),
    conda:
        "../../envs/vision.yaml"
    params:
        images=lambda wildcards: settings.probes[wildcards.probe].images,
        seed=lambda wildcards: settings.probes[wildcards.probe].seed,
        scenes=lambda wildcards: scenes_of(settings.probes[wildcards.probe]),
        code=code("shapeworld_images"),
    message:
        "render {params.images} images of probe {wildcards.probe}"
    script:
        "../scripts/shapeworld_images.py"


rule listing:
    input:
        renders=probe_renders,
    output:
        listing=paths.pattern("listing"),
        rejected=temp(paths.pattern("unlisted")),
    log:
        paths.log("listing"),
    benchmark:
        paths.benchmark("listing")
    conda:
        "../../envs/vision.yaml"
    params:
        probes=probe_settings,
        # a folder's own time of change says nothing about the folders in it
        content=lambda wildcards: content_of_probe(wildcards.probe),
        code=code("listing"),
    message:
        "list the images of probe {wildcards.probe}"
    script:
        "../scripts/listing.py"


rule probe:
    input:
        listing=paths.pattern("listing"),
        renders=probe_renders,
    output:
        images=paths.pattern("probe"),
        rejected=temp(paths.pattern("rejected_of_shard")),
    log:
        paths.log("probe"),
    benchmark:
        paths.benchmark("probe")
    conda:
        "../../envs/vision.yaml"
    params:
        probes=probe_settings,
        # the listing of other images may be the same
        content=lambda wildcards: content_of_probe(wildcards.probe),
        shards=lambda wildcards: settings.probes[wildcards.probe].shards,
        code=code("probe"),
    message:
        "pack probe {wildcards.probe}, shard {wildcards.shard}"
    script:
        "../scripts/probe.py"


rule rejected:
    input:
        images=probe_shards,
        rejected=probe_parts("rejected_of_shard"),
        unlisted=paths.pattern("unlisted"),
    output:
        rejected=paths.pattern("rejected"),
        shuffled=paths.pattern("shuffled"),
    log:
        paths.log("rejected"),
    conda:
        "../../envs/vision.yaml"
    params:
        code=code("rejected"),
    message:
        "list the unreadable images of probe {wildcards.probe}"
    script:
        "../scripts/rejected.py"
