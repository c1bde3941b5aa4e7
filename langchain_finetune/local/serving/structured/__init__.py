"""Answers that keep a grammar while they are written: schemas, forced tools, token budgets."""
