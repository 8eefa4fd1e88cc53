"""Corpora: which there are, how they are fetched, how they are split."""
