"""Figures of a report as numbers and paths, which templates draw: no task, no file, no torch."""
