"""Readers of stored runs and datasets, without I/O: one file for each tracer's format.

`run.py` detects the format of a run; `fast_path.py` reads the most frequent one from bytes.

Internal: `langchain_finetune` exports what is public.
"""
