"""Fine-tuning jobs: their records, the check of their files, and the queue that runs them."""
