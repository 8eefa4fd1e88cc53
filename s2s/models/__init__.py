"""Models: layers put together for a task."""
