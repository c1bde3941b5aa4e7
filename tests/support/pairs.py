"""Pairs of preference as tests look at them."""

from langchain_finetune import Convert


def made(loader):
    """Each pair as (question, better, worse, ids of both runs), and the skips."""
    examples = (loader | Convert(method="preference")).invoke({})
    found = []
    for row in examples.rows():
        line = row.example
        [better], [worse] = line["preferred_output"], line["non_preferred_output"]
        assert better["role"] == worse["role"] == "assistant"
        found.append(
            (
                line["input"]["messages"][-1]["content"],
                better["content"],
                worse["content"],
                row.source["run_id"],
                row.source["rejected_run_id"],
            )
        )
    return found, [(skip.id, skip.code) for skip in examples.rejected]
