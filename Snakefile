# The workflow is workflow/Snakefile, where catalogs and workflows that import it look for it. From a clone this runs it.
# An `include:` would forget which rule is the default target.
workflow.include("workflow/Snakefile", overwrite_default_target=True)
