"""Figures and tables of a report, as HTML and SVG: no task, no file, no torch."""
