"""Training code of the embedded models; run it with ``python -m training``."""
