"""The routes of OpenAI's API: files, uploads, jobs, models and answers, and its description."""
