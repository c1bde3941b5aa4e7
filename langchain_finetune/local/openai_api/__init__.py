"""The routes of OpenAI's API but for the answers of models, which `serving/` writes."""
