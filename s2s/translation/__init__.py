"""Translation, the first of the three tasks."""
