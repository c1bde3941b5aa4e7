"""Constrained generation: schemas, forced tool calls, token budgets."""
