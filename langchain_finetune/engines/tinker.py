"""Tinker, and every server of its REST: a training loop that the embedded engine runs.

Sources: tinker 0.38.0 and tinker-docs.thinkingmachines.ai (key, address, the endpoint of OpenAI's
shape at `/oai/api/v1`), November 2026. Prices depend on the base, and what validation and DPO ask
for beside the training has one of its own: they are for the user to give.
"""

from dataclasses import dataclass, replace

from langchain_finetune.checks import LOCAL
from langchain_finetune.engines.flow import Flow
from langchain_finetune.engines.local import ENGINE as EMBEDDED
from langchain_finetune.engines.loop import WEIGHTS_OPTION, LoopEngine
from langchain_finetune.errors import EngineError


@dataclass(frozen=True, kw_only=True, eq=False)
class _TinkerEngine(LoopEngine):
    def is_gone(self, name: str) -> Flow[bool]:
        """Look for a model among the checkpoints of its run.

        Other servers may have no such list, so one that is missing proves nothing.
        """
        run = name.removeprefix(self.hosted).partition("/")[0]
        try:
            told = yield from self.ask_host("get", f"/api/v1/training_runs/{run}/checkpoints")
        except EngineError as error:
            if error.failure.missing:
                return False
            raise
        listed = told.get("checkpoints") if isinstance(told, dict) else None
        return listed is not None and name not in {one.get("tinker_path") for one in listed}


ENGINE = _TinkerEngine(
    name="tinker",
    summary="Tinker, trained step by step by the embedded engine",
    key_variable="TINKER_API_KEY",
    base_url="https://tinker.thinkingmachines.dev/services/tinker-prod",
    extra="tinker",
    # The endpoint renders with the base's template, which shows no response format.
    profile=replace(LOCAL, name="tinker", response_format=False),
    lines=("supervised", "preference"),
    request_options=WEIGHTS_OPTION,
    pace=EMBEDDED.pace,
    address_variable="TINKER_BASE_URL",
    modules=("tinker",),
    hosted="tinker://",
    answers_at="/oai/api/v1",
)
