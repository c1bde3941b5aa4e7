"""Whether a model is as good as the one that an app calls now: both answer, and a gate decides.

`compare` runs both as LangSmith experiments over the same cases, `statistics` and `verdict` decide
what the difference shows, `gate` lets the new model pass or not, `report/` shows the result.

Internal: programs use `Compare` and `Gate`, which `langchain_finetune` exports.
"""
