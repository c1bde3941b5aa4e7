"""The datasets: their examples, and runs that become some."""

from collections.abc import Mapping
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Form, Query, Request, Response

from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.page.add_to_dataset import keep, pick
from langchain_finetune.local.page.messages import as_json, read_message
from langchain_finetune.local.page.render_html import PageRoute, back, page, tell
from langchain_finetune.local.store import RunStore
from langchain_finetune.local.store.values import uuid_text

PAGE = 20
"""Examples on one page."""

_MOST = 1000
"""Datasets that are listed."""


def create_datasets_router(store: RunStore) -> APIRouter:
    """Return the pages of datasets."""
    router = APIRouter(route_class=PageRoute)

    @router.get("/ui/datasets")
    def list_datasets(request: Request) -> Response:
        datasets = store.datasets.all(limit=_MOST + 1)
        return page(
            request,
            "datasets.html",
            section="Datasets",
            datasets=datasets[:_MOST],
            has_more=len(datasets) > _MOST,
        )

    @router.post("/ui/datasets/pick")
    def pick_runs(
        request: Request,
        run: Annotated[list[str] | None, Form()] = None,
        dataset: Annotated[str, Form()] = "",
        new_name: Annotated[str, Form()] = "",
    ) -> Response:
        fault = _pick_fault(run, dataset, new_name)
        if fault:
            return back(request, "/", fault, failed=True, came_from=True)
        run_ids = [uuid_text(each, "run") or "" for each in run or []]
        chosen = store.datasets.get(uuid_text(dataset, "dataset") or "") if dataset else None
        picked = pick(store, run_ids)
        if picked.examples:
            if chosen is None:
                try:
                    chosen = store.datasets.create({"name": new_name.strip(), "data_type": "kv"})
                except ApiError as error:
                    # Its name is taken, or is none.
                    return back(request, "/", error.message, failed=True, came_from=True)
            keep(store, picked, chosen)
            count = f"{len(picked.examples)} example{'' if len(picked.examples) == 1 else 's'}"
            tell(request, f"{count} in the dataset {chosen['name']} now come from the picked runs.")
        for skip in picked.refused:
            why = f"{skip.reason.rstrip('.')} ({skip.code})"
            tell(request, f"{skip.id} makes no example: {why}.", failed=True)
        if chosen is None:
            return back(request, "/", came_from=True)
        return back(request, f"/ui/datasets/{chosen['id']}")

    @router.get("/ui/datasets/{dataset_id}")
    def show_dataset(
        request: Request, dataset_id: str, offset: Annotated[int, Query(ge=0, le=2**31)] = 0
    ) -> Response:
        dataset = store.datasets.get(uuid_text(dataset_id, "dataset_id") or "")
        found = store.examples.all(dataset_id=dataset["id"], limit=PAGE + 1, offset=offset)
        return page(
            request,
            "dataset.html",
            section="Datasets",
            dataset=dataset,
            examples=[_shown(example) for example in found[:PAGE]],
            offset=offset,
            before=max(0, offset - PAGE),
            after=offset + PAGE if len(found) > PAGE else None,
        )

    @router.post("/ui/datasets/{dataset_id}/examples/{example_id}/remove")
    def remove_example(request: Request, dataset_id: str, example_id: str) -> Response:
        dataset = store.datasets.get(uuid_text(dataset_id, "dataset_id") or "")
        example = store.examples.get(uuid_text(example_id, "example_id") or "")
        if example["dataset_id"] != dataset["id"]:
            raise ApiError(404, "The dataset has no such example.")
        store.examples.delete([example["id"]])
        told = "The example is removed; older versions of the dataset still have it."
        return back(request, f"/ui/datasets/{dataset['id']}", told, came_from=True)

    return router


def _pick_fault(run: list[str] | None, dataset: str, new_name: str) -> str:
    if not run:
        return "No run was picked: tick the boxes of those that are to become examples."
    if bool(dataset) == bool(new_name.strip()):
        return "Choose a dataset, or give a new one a name."
    return ""


def _shown(example: Mapping[str, Any]) -> dict[str, Any]:
    """Return an example as the page shows it: as a chat, or else as JSON."""
    inputs, outputs = orjson.loads(orjson.dumps([example["inputs"], example["outputs"]]))
    outputs = outputs or {}
    sent = inputs.get("messages") or inputs.get("input")
    answer = outputs.get("message") or outputs.get("output")
    is_chat = isinstance(sent, list) and isinstance(answer, dict)
    return {
        "id": example["id"],
        "created_at": example["created_at"],
        "source_run_id": example["source_run_id"],
        "messages": [read_message(each) for each in sent] if is_chat else [],
        "answer": read_message(answer) if is_chat else None,
        "tools": as_json(inputs["tools"]) if is_chat and inputs.get("tools") else "",
        "inputs": as_json(inputs),
        "outputs": as_json(outputs),
    }
