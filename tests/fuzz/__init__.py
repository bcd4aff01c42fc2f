"""Fuzzing: generated input against models and oracles that are written in another way than the code.

`make fuzz MINUTES=10` runs all targets; docs/testing.md says how. What was found is an ordinary test elsewhere.
"""
