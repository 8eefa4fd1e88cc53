"""The report of runs: one page that is read without a script or a network."""
