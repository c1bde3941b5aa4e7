"""Chats from MLflow's traces."""

from collections.abc import Iterable, Iterator
from typing import Any

from langchain_finetune.dialects.mlflow import read_trace
from langchain_finetune.dialects.stored_trace import StoredTrace
from langchain_finetune.errors import LoadError
from langchain_finetune.extras import require_modules
from langchain_finetune.loaders.stores import StoreChatLoader, refused

_PAGE = 100
"""Traces in one response; they come with all of their spans."""


class MLflowChatLoader(StoreChatLoader):
    """Load chats from the traces of an MLflow server or folder; needs the extra `mlflow`.

    It reads calls of models that MLflow's autologging recorded, such as `mlflow.langchain`, and
    spans that MLflow took by OTLP. Traces that were written into a file as JSON are read by
    `RunFileChatLoader`.

    MLflow's tags are names with values: `tags` are `name` or `name=value`. Conditions on feedback
    are on its assessments; an expectation is the correction of `use_correction`. The time is that
    of the trace. A session of MLflow (`mlflow.trace.session`) is the `thread_id`.

    Args:
        project_name: Name of the experiment, or several.
        client: An `mlflow.MlflowClient`; by default one from the environment
            (`MLFLOW_TRACKING_URI`).
        settings: `tags`, `feedback`, `start_time`, `end_time`, `limit` as of `RunQuery`; `where`,
            `calls`, `internal_calls`, `reasoning`, `strict` as of `LangSmithRunChatLoader`.

    Example:
        ```python
        loader = MLflowChatLoader(
            project_name="support", feedback={"key": "correct", "at_least": 1}
        )
        examples = (loader | Convert()).invoke({})
        ```
    """

    project_name: str | tuple[str, ...]

    def pages(self) -> Iterator[Iterable[StoredTrace]]:
        """Yield the traces, newest first, page by page.

        Raises:
            LoadError: MLflow can't be reached, rejects the key, or has no such experiment.
        """
        require_modules("MLflowChatLoader", "mlflow", "mlflow")
        from mlflow import MlflowClient  # noqa: PLC0415 - of the extra `mlflow`
        from mlflow.exceptions import MlflowException  # noqa: PLC0415

        names = (self.project_name,) if isinstance(self.project_name, str) else self.project_name
        bounds = [(">=", self.start_time), ("<", self.end_time)]
        filters = [
            f"attributes.timestamp_ms {sign} {int(time.timestamp() * 1000)}"
            for sign, time in bounds
            if time
        ]
        try:
            client: Any = self.client or MlflowClient()
            found = [client.get_experiment_by_name(name) for name in names]
            for name, experiment in zip(names, found, strict=True):
                if experiment is None:
                    raise LoadError(f"MLflow at {client.tracking_uri} has no experiment {name!r}.")
            token = None
            while True:
                page = client.search_traces(
                    locations=[experiment.experiment_id for experiment in found],
                    filter_string=" AND ".join(filters) or None,
                    max_results=_PAGE,
                    order_by=["timestamp_ms DESC"],
                    page_token=token,
                )
                yield (read_trace(trace.to_dict()) for trace in page)
                token = page.token
                if not token:
                    return
        except MlflowException as error:
            raise refused("MLflow", error) from error
