"""The engine's fine-tuning jobs: their records, the queue, and the process that trains."""
