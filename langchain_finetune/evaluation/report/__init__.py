"""The report of a comparison: its figures, and their display in a terminal, a notebook and a page.

`terminal.tables` and `html.page` take the `ComparisonData` of `evaluation/result.py`.
"""
