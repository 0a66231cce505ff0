from dnd.run.code_digest import PACKAGE


report: "../report/workflow.rst"


def worded_by(wildcards):
    """The tables of captions and of concepts of a job's layer, which record the models that worded them."""
    layer = layer_of(wildcards)
    if not plan.is_ours(layer):
        return []
    bundle = plan.bundle_of(layer)
    return [
        *paths.shards("captions", layer),
        paths.of_bundle("concepts", bundle),
        *paths.refined(bundle),
    ]


def facts_of_page(wildcards):
    """What the pages of a layer call it."""
    layer = layer_of(wildcards)
    keys = ("name", "layer", "slug", "model", "probe", "recipe")
    facts = {key: getattr(layer, key) for key in keys}
    return facts | {"method": settings.recipes[layer.recipe].method}


def settings_of_page(wildcards):
    """What a layer's recipe says beyond the defaults, with the language model that it asks."""
    recipe = recipe_of(wildcards)
    asks = recipe.method in ("dnd", "line")
    return ({"llm.model": settings.llm.model} if asks else {}) | recipe.changed()


def files_of_site(*patterns):
    """Files of the library's that no script imports, as those of the page."""
    files = (file for pattern in patterns for file in PACKAGE.glob(pattern))
    return tuple(sorted(str(file) for file in files if file.is_file()))


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
