# It makes no file of its own, so that it runs whenever it is asked for.
rule prefetch:
    log:
        paths.log("prefetch"),
    localrule: True
    conda:
        "../../envs/vision.yaml"
    message:
        "fetch the models that the sweep needs"
    script:
        "../scripts/prefetch.py"
