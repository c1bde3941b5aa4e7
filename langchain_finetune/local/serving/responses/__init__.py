"""The Responses API: the request, and the answer, whole or streamed."""
