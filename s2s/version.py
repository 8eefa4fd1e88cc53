"""The version of s2s, which pyproject.toml repeats for the installers."""

VERSION = "0.1.0"
