"""Measurements; none of them is a test, all of them end by themselves."""
