"""From a recipe to a trained and scored run."""
