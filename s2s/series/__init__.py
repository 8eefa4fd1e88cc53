"""Time series, from CSV files to windows."""
