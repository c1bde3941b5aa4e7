"""How reports and pages show numbers, messages of any format, tables and HTML. Pure.

Internal: the report of a conversion, that of a comparison, and the engine's page share it.
"""
