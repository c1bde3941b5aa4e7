"""Chat completions: the request, and the answer, whole or streamed."""
