"""Text, from raw lines to batches of token numbers."""
