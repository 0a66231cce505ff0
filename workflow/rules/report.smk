include: "inputs/report.smk"


report: "../report/workflow.rst"


rule report_layer:
    input:
        descriptions=paths.pattern("descriptions"),
        facets=paths.pattern("facets"),
        topk=topk_of,
        exemplars=own_shards("exemplars"),
        scores=scores_of,
        images=lambda wildcards: paths.images(layer_of(wildcards)),
        probe=probe_shards,
        importance=lambda wildcards: paths.importance(layer_of(wildcards)),
        origins=worded_by,
        answers=lambda wildcards: here(
            [settings.models[target_name(wildcards)].known_answers]
        ),
    output:
        report(
            directory(paths.pattern("pages")),
            patterns=["contact-sheet.{format}"],
            caption="../report/contact-sheet.rst",
            category="Contact sheets",
            labels={"row": "{name}", "layer": "{slug}", "format": "{format}"},
        ),
    log:
        paths.log("report_layer"),
    benchmark:
        paths.benchmark("report_layer")
    conda:
        "../../envs/vision.yaml"
    threads: 4
    params:
        facts=facts_of_page,
        settings=settings_of_page,
        code=code("report_layer", others=files_of_site("report/terms.yaml")),
    message:
        "write the pages of {wildcards.name}, layer {wildcards.slug}"
    script:
        "../scripts/report_layer.py"


rule report:
    input:
        pages=[paths.of_layer("pages", layer) for layer in plan.layers],
        evaluation=paths.pattern("evaluation"),
    output:
        report(
            directory(paths.pattern("report")),
            htmlindex="index.html",
            caption="../report/site.rst",
            category="Every unit",
            labels={"page": "browser of all units"},
        ),
        paths.pattern("page"),
    log:
        paths.log("report"),
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
