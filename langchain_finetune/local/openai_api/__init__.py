"""The routes of OpenAI's API: files, uploads, jobs, models and answers, and its description.

Its own additions are aliases of models, their shadows, and the files of models.
"""
