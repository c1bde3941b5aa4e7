"""The older completions of plain text: the request, and the answer, whole or streamed."""
