"""The rules of every engine, by its name."""

from langchain_finetune.engines import all_engines

PROFILES = {engine.name: engine.profile for engine in all_engines()}
