"""Writes a model of the engine to a folder that other servers load, and to the Hugging Face Hub."""
