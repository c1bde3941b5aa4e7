"""From training examples to a fine-tuned model: spool, submit, wait, return a `ChatOpenAI`."""
