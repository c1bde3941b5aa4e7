"""The conversion report: its figures, and their display in a terminal, a notebook and a page."""
