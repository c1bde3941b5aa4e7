"""From examples to a finished job: training files, submission, the wait, the model that answers."""
