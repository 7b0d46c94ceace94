"""Comparing and searching: which model, which settings, and is the difference real."""
