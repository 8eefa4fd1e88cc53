"""What takes a recipe or a run from end to end: training, scoring, variants."""
