"""Makes torchvision importable beside a CPU build of torch, for tests that import it before the library."""

import dnd.torchvision_ops  # noqa: F401
