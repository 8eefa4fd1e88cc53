"""Language models, the second of the three tasks."""
