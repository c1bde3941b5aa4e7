"""Datasets: their examples, and adding runs to them."""

from collections.abc import Mapping
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Form, Query, Request, Response

from langchain_finetune.content import entries, mapping
from langchain_finetune.display.messages import read_chat
from langchain_finetune.local.api_error import ApiError
from langchain_finetune.local.page.job_views import file_name
from langchain_finetune.local.page.render_html import add_notice, redirect, render_page
from langchain_finetune.local.page.run_examples import add_examples, examples_of
from langchain_finetune.local.store import RunStore
from langchain_finetune.local.store.values import now, uuid_text

PAGE = 20
"""Number of examples per page."""

_LONG = 4
"""Requests of more than so many messages are folded."""

_MAX_LISTED = 1000
"""Maximum number of datasets in the list."""


def create_datasets_pages(store: RunStore) -> APIRouter:
    """Return the pages of datasets."""
    router = APIRouter()

    @router.get("/ui/datasets")
    def list_datasets(request: Request) -> Response:
        datasets = store.datasets.all(limit=_MAX_LISTED + 1)
        return render_page(
            request,
            "datasets.html",
            section="Datasets",
            datasets=datasets[:_MAX_LISTED],
            has_more=len(datasets) > _MAX_LISTED,
        )

    @router.post("/ui/datasets/add-runs")
    def add_runs(
        request: Request,
        run: Annotated[list[str] | None, Form()] = None,
        dataset: Annotated[str, Form()] = "",
        new_name: Annotated[str, Form()] = "",
    ) -> Response:
        error = _form_error(run, dataset, new_name)
        if error:
            return redirect(request, "/", error, failed=True, to_referer=True)
        run_ids = [uuid_text(each, "run") for each in run or []]
        target = store.datasets.get(uuid_text(dataset, "dataset")) if dataset else None
        examples, skipped = examples_of(store, run_ids)
        if examples:
            if target is None:
                try:
                    target = store.datasets.create({"name": new_name.strip(), "data_type": "kv"})
                except ApiError as invalid_name:
                    message = invalid_name.message
                    return redirect(request, "/", message, failed=True, to_referer=True)
            add_examples(store, examples, target)
            count = f"{len(examples)} example{'' if len(examples) == 1 else 's'}"
            add_notice(request, f"Added {count} to the dataset {target['name']}.")
        for skip in skipped:
            reason = f"{skip.reason.rstrip('.')} ({skip.code})"
            add_notice(request, f"{skip.id} cannot become an example: {reason}.", failed=True)
        if target is None:
            return redirect(request, "/", to_referer=True)
        return redirect(request, f"/ui/datasets/{target['id']}")

    @router.get("/ui/datasets/{dataset_id}")
    def show_dataset(
        request: Request, dataset_id: str, offset: Annotated[int, Query(ge=0, le=2**31)] = 0
    ) -> Response:
        dataset = store.datasets.get(uuid_text(dataset_id, "dataset_id"))
        found = store.examples.all(dataset_id=dataset["id"], limit=PAGE + 1, offset=offset)
        return render_page(
            request,
            "dataset.html",
            section="Datasets",
            dataset=dataset,
            download_name=file_name(dataset["name"], now() // 10**6, dataset["example_count"]),
            examples=[_example_view(example) for example in found[:PAGE]],
            offset=offset,
            previous=max(0, offset - PAGE),
            next=offset + PAGE if len(found) > PAGE else None,
        )

    @router.post("/ui/datasets/{dataset_id}/examples/{example_id}/remove")
    def remove_example(request: Request, dataset_id: str, example_id: str) -> Response:
        dataset = store.datasets.get(uuid_text(dataset_id, "dataset_id"))
        example = store.examples.get(uuid_text(example_id, "example_id"))
        if example["dataset_id"] != dataset["id"]:
            raise ApiError(404, "The dataset does not contain this example.")
        store.examples.delete([example["id"]])
        notice = "The example was removed. Earlier versions of the dataset still contain it."
        return redirect(request, f"/ui/datasets/{dataset['id']}", notice, to_referer=True)

    return router


def _form_error(run: list[str] | None, dataset: str, new_name: str) -> str:
    if not run:
        return "No runs are selected. Tick the boxes of the runs to add."
    if bool(dataset) == bool(new_name.strip()):
        return "Choose a dataset, or enter the name of a new one."
    return ""


def _example_view(example: Mapping[str, Any]) -> dict[str, Any]:
    """Return an example with its chat, if it contains one."""
    inputs, outputs = orjson.loads(orjson.dumps([example["inputs"], example["outputs"] or {}]))
    sent = mapping(inputs).get("messages") or mapping(inputs).get("input")
    # Whatever JSON a client stored is shown.
    answer = mapping(outputs).get("message") or mapping(outputs).get("output")
    is_chat = isinstance(sent, list) and isinstance(answer, dict)
    messages = read_chat([*entries(sent), answer]) if is_chat else []
    shown_answer = messages.pop() if is_chat else None
    # Of a long chat, the last question is shown, and what follows it.
    asked = [place for place, each in enumerate(messages) if each.role == "user"]
    folded = asked[-1] if asked and len(messages) > _LONG else 0
    return {
        **example,
        "inputs": inputs,
        "outputs": outputs,
        "earlier": messages[:folded],
        "messages": messages[folded:],
        "answer": shown_answer,
    }
