report: "../report/workflow.rst"


rule report_layer:
    input:
        descriptions=lambda wildcards: descriptions_of(layer_of(wildcards)),
        facets=lambda wildcards: facets_of(layer_of(wildcards)),
        topk=topk_of,
        exemplars=own_shards("exemplars"),
        scores=scores_of,
        images=lambda wildcards: images_of_layer(layer_of(wildcards)),
        probe=probe_shards,
        importance=lambda wildcards: importance_of(layer_of(wildcards)),
        origins=worded_by,
        answers=lambda wildcards: known_answers_of(layer_of(wildcards).model),
    output:
        report(
            directory(f"{LAYER}/pages"),
            patterns=["contact-sheet.{format}"],
            caption="../report/contact-sheet.rst",
            category="Contact sheets",
            labels={"row": "{name}", "layer": "{slug}", "format": "{format}"},
        ),
    log:
        f"{RESULTS}/logs/report_layer/{{name}}-{{slug}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/report_layer/{{name}}-{{slug}}.tsv"
    conda:
        "../../envs/vision.yaml"
    threads: 4
    params:
        facts=lambda wildcards: facts_of_page(layer_of(wildcards)),
        settings=settings_of_page,
        code=code("report_layer", others=files_of_site("report/terms.yaml")),
    message:
        "write the pages of {wildcards.name}, layer {wildcards.slug}"
    script:
        "../scripts/report_layer.py"


rule report:
    input:
        pages=[pages_of(layer) for layer in plan.layers],
        evaluation=f"{RESULTS}/evaluation.parquet",
    output:
        report(
            directory(f"{RESULTS}/report"),
            htmlindex="index.html",
            caption="../report/site.rst",
            category="Every unit",
            labels={"page": "browser of all units"},
        ),
        f"{RESULTS}/report/index.html",
    log:
        f"{RESULTS}/logs/report.log",
    conda:
        "../../envs/vision.yaml"
    params:
        run=settings.run,
        code=code(
            "report", others=files_of_site("report/terms.yaml", "report/app/**/*")
        ),
    message:
        "write the page"
    script:
        "../scripts/report.py"
