"""Makes torchvision importable beside a CPU build of torch, for tests that import it before the library."""

import hypothesis

import dnd.torchvision_ops  # noqa: F401

hypothesis.settings.register_profile("untimed", deadline=None)  # a busy machine is no failure
hypothesis.settings.load_profile("untimed")
