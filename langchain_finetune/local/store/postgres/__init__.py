"""The run store in a PostgreSQL server, which several engines may share.

`database` is what the store asks, over `connections`; `opening` makes the tables, or says why not.
`dialect` turns the store's statements into PostgreSQL's, `functions` has what those call, and
`schema` the tables with their migrations.
"""
