"""Forecasts of time series, the third of the three tasks."""
