"""The page of the engine: what is in it, for people, in a browser.

Rendered on the server; its assets lie in this package, and it needs no network.
"""
