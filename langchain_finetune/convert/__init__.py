"""Conversion of sessions to training files, step by step: redact, check, split, count, report.

Internal: `langchain_finetune` exports what is public.
"""
