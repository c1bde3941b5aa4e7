"""What a node of Ray does. It is sent there as code, since the node may lack this package.

So nothing of this package is imported before the versions are known to be the same.
"""


def convert_on_node(
    work: bytes, data: bytes, versions: dict[str, str | None], count: str
) -> bytes | str:
    """Return what is made of a task, or a sentence that says why this node can't do it.

    Args:
        work: Pickled `PartWork` or `RowWork`.
        data: The task's data, as `write_value` wrote it.
        versions: Those of the packages on which the result depends; None is not installed.
        count: How the machine that asks counts tokens; see `PartWork.count`.
    """
    import os  # noqa: PLC0415 - see above
    from importlib import metadata  # noqa: PLC0415
    from socket import gethostname  # noqa: PLC0415

    node = f"The node {gethostname()}"
    for name, expected in versions.items():
        try:
            found = metadata.version(name)
        except metadata.PackageNotFoundError:
            found = None
        if found != expected:
            here, there = (each or "no such package" for each in (found, expected))
            return (
                f"{node} has {name} {here}, and this machine {there}: install the same versions on "
                "all nodes, or the files would depend on who makes them."
            )
    # Each node's processes share its cores already.
    os.environ.update(TOKENIZERS_PARALLELISM="false", RAYON_NUM_THREADS="1")
    from langchain_finetune.convert.workers.ray_work import made_of  # noqa: PLC0415

    return made_of(work, data, count, node)
