"""What the plain path makes of a run's JSON: the one that reads every shape."""

import orjson

from langchain_finetune.checks import check_example
from langchain_finetune.content import UnreadableChatError
from langchain_finetune.convert.rows import encode_line
from langchain_finetune.dialects.file_row import run_of_row, tools_are_unknown
from langchain_finetune.dialects.run import read_run
from langchain_finetune.sessions import supervised_example
from support.profiles import PROFILES


def plain_lines(data, names):
    """Return the lines that a run makes and their sources, or a word on why it makes none.

    A chat in which the rules of one of the named providers find anything makes no line.
    """
    try:
        row = orjson.loads(data)
    except orjson.JSONDecodeError:
        return "no JSON"
    try:
        run = run_of_row(row, "place")
        sessions = read_run(run)
    except UnreadableChatError as error:
        return error.code
    except (AttributeError, IndexError, KeyError, TypeError, ValueError):
        return "malformed"
    made = []
    for session in sessions:
        example, trimmed = supervised_example(session)
        line = encode_line(example)
        for name in names:
            if found := check_example(example, PROFILES[name], line=line):
                return found[0].code
        noted = trimmed or tools_are_unknown(run) or "dropped_reasoning" in session["source"]
        made.append((line, dict(session["source"])) if not noted else "noted")
    return made
