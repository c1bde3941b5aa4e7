"""What a search of a run store finds."""

from langchain_finetune.local.store.run_queries import cursor_after, v1_query


def found(store, **query):
    """Return the ids of all runs of the project `app` that a query finds, page by page."""
    asked = {"session": [store.projects.ensure("app")], "select": ["id"], **query}
    ids = []
    while True:
        page = store.runs.find(v1_query(asked))
        ids += [run.row["id"] for run in page.runs]
        if not page.has_more:
            assert len(ids) == len(set(ids))
            return set(ids)
        asked["cursor"] = cursor_after(page.runs[-1].row)
