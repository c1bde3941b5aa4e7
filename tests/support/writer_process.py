"""Writes traces into a store with LangSmith's own client: one of several processes.

`python -m support.writer_process URL PROJECT TRACES` prints the ids of its runs, one a line.
"""

import sys
from contextlib import closing

from langsmith import Client
from langsmith.run_trees import RunTree

from support.runs import SENT, constructor


def write(url, project, traces):
    """Record traces of a chain with one llm run; return the ids of all runs."""
    ids = []
    with closing(Client(api_url=url, api_key="any")) as client:
        for number in range(traces):
            root = RunTree(
                name="app", run_type="chain", inputs={}, ls_client=client, project_name=project
            )
            root.post()
            child = root.create_child(
                name="ChatOpenAI", run_type="llm", inputs={"messages": [SENT]}
            )
            child.post()
            answer = constructor("AIMessage", content=f"{root.id} {number}", type="ai")
            child.end(outputs={"generations": [[{"text": "", "message": answer}]]})
            child.patch()
            root.end(outputs={"number": number})
            root.patch()
            ids += [root.id, child.id]
        client.flush()
    return ids


if __name__ == "__main__":
    written = write(sys.argv[1], sys.argv[2], int(sys.argv[3]))
    sys.stdout.writelines(f"{run_id}\n" for run_id in written)
