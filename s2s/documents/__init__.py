"""Files that people translate: everything but their text comes back as it was."""
