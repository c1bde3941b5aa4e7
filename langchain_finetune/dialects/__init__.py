"""Readers of stored runs and datasets, pure: one dialect of the field's tracers a file.

`run.py` finds the dialect of a run; `fast_path.py` reads the most frequent one from bytes.
"""
