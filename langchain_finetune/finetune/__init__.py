"""From examples to a finished job: training files, submission, the wait, the model that answers.

Internal: `langchain_finetune` exports what is public.
"""
