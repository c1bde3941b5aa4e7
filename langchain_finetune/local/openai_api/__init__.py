"""OpenAI's HTTP API under `/v1`: files, fine-tuning jobs, models and chat."""
