"""Describe-and-Dissect: natural-language descriptions of hidden units of vision networks."""

from typing import Any

from dnd.io.version import VERSION as __version__

__all__ = ["Descriptions", "__version__", "describe"]


def __getattr__(name: str) -> Any:
    """Import the interface for notebooks when it is asked for: it loads torch, which a dry run must not."""
    if name in __all__:
        from dnd import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
