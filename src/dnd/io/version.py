"""The version of the library and its workflow."""

VERSION = "0.1.0"
