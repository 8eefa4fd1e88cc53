"""Recipes: their sections, how they are read, and what is said where they are wrong."""
