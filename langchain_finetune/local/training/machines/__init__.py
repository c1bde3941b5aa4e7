"""A training of several processes, on this machine, on others or on a Ray cluster.

The engine starts one process for the job, as always. With a `trainer` that process trains nothing:
it gathers workers, starts a training process at each with the variables of `torchrun`, passes the
reports of the first on, and ends all of them as soon as one has failed. All of them read and write
the engine's home, at the same path.
"""
