"""The engine's web page: runs, datasets, comparisons, jobs, models and the playground.

Rendered on the server; its assets are part of this package, and it works offline.
"""
