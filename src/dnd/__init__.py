"""Describe-and-Dissect: natural-language descriptions of hidden units of vision networks."""

__version__ = "0.1.0"
