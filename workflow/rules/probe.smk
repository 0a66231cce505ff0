rule shapeworld_images:
    output:
        directory(f"{RESULTS}/probe/{{probe}}/source"),
    log:
        f"{RESULTS}/logs/shapeworld_images/{{probe}}.log",
    conda:
        "../../envs/vision.yaml"
    params:
        images=lambda wildcards: settings.probes[wildcards.probe].images,
        seed=lambda wildcards: settings.probes[wildcards.probe].seed,
        code=code("shapeworld_images"),
    message:
        "render {params.images} images of probe {wildcards.probe}"
    script:
        "../scripts/shapeworld_images.py"


rule listing:
    input:
        renders=probe_renders,
    output:
        listing=f"{RESULTS}/probe/{{probe}}/listing.parquet",
        rejected=temp(f"{RESULTS}/probe/{{probe}}/unlisted.parquet"),
    log:
        f"{RESULTS}/logs/listing/{{probe}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/listing/{{probe}}.tsv"
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
        listing=f"{RESULTS}/probe/{{probe}}/listing.parquet",
        renders=probe_renders,
    output:
        images=f"{RESULTS}/probe/{{probe}}/images-{{shard}}.parquet",
        rejected=temp(f"{RESULTS}/probe/{{probe}}/rejected-{{shard}}.parquet"),
    log:
        f"{RESULTS}/logs/probe/{{probe}}-{{shard}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/probe/{{probe}}-{{shard}}.tsv"
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
        rejected=probe_parts("rejected"),
        unlisted=f"{RESULTS}/probe/{{probe}}/unlisted.parquet",
    output:
        rejected=f"{RESULTS}/probe/{{probe}}/rejected.parquet",
        shuffled=f"{RESULTS}/probe/{{probe}}/shuffled.parquet",
    log:
        f"{RESULTS}/logs/rejected/{{probe}}.log",
    conda:
        "../../envs/vision.yaml"
    params:
        code=code("rejected"),
    message:
        "list the unreadable images of probe {wildcards.probe}"
    script:
        "../scripts/rejected.py"
