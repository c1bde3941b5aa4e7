"""Training loops: the model is trained at a host, and this process sends it each step.

`training` is the loop, the same for each host; `host` is what a host has to offer, and a module
such as `tinker_host` is its transport. Rendering, mask, order and schedule are those of training
here, so the result is the same but for the host's arithmetic.
"""
