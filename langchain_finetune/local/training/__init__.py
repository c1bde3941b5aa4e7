"""The training process: a child of the engine, so that it can be stopped at any moment.

`python -m langchain_finetune.local.training SPEC.json` trains what the specification asks for,
reports on standard output how it goes (one JSON object a line, see `events`), and ends. It stops
at once when its standard input closes: the engine cancelled the job, or died.
"""
