"""Conversion by several workers: each takes a part of the chats, and the results come in order.

A worker is a fresh interpreter, so it has none of this process's locks, threads and connections, as
a fork would; and unlike multiprocessing's own, it does not run the user's script again. What it is
given and what it makes are files of plain data in a private folder, which is gone at the end.

Or the workers are the processes of a cluster of Ray: `ray_tasks` asks from here, and `ray_node` and
`ray_work` are what happens there.
"""
