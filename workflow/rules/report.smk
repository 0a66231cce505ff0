rule report:
    input:
        descriptions=[descriptions_of(layer) for layer in plan.layers],
        facets=[facets_of(layer) for layer in plan.layers],
        exemplars=[path for layer in plan.layers for path in own_shards("exemplars")(layer)],
        scores=[path for layer in plan.layers for path in own_shards("scores")(layer)],
        images=list(dict.fromkeys(path for layer in plan.layers for path in images_of_layer(layer))),
        probe=[
            path
            for probe in dict.fromkeys(one.probe for one in plan.layers)
            for path in probe_shards({"probe": probe})
        ],
        importance=[path for layer in plan.layers for path in importance_of(layer)],
        evaluation=f"{RESULTS}/evaluation.parquet",
        answers=here(known_answers().values()),
    output:
        f"{RESULTS}/report/index.html",
    log:
        f"{RESULTS}/logs/report.log",
    conda:
        "../../envs/vision.yaml"
    params:
        run=settings.run,
        layers=[
            {
                "name": layer.name,
                "layer": layer.layer,
                "slug": layer.slug,
                "descriptions": descriptions_of(layer),
                "facets": [facets_of(layer)],
                "exemplars": own_shards("exemplars")(layer),
                "scores": own_shards("scores")(layer),
                "probe": probe_shards({"probe": layer.probe}),
                "images": images_of_layer(layer),
                "importance": importance_of(layer),
            }
            for layer in plan.layers
        ],
        answers=known_answers(),
        code=code("report", others=tuple(sorted(map(str, (sources.PACKAGE / "templates").iterdir())))),
    message:
        "write the page"
    script:
        "../scripts/report.py"
