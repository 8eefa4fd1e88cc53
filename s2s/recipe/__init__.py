"""Recipes: their sections, their reading, and the messages about wrong ones."""
