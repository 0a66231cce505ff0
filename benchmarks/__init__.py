"""How fast the stages are beside the bare models, and the whole beside the released driver: ``make bench``."""
