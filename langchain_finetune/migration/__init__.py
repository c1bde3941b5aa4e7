"""From a model that goes dark to one of your own: inventory, rescue, record, migrate.

Each step works alone and can be resumed; it only reads from the account, except for the answers
that `record` asks for.

Internal: programs use what `langchain_finetune` exports.
"""
