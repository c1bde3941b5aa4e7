"""The form that starts a job."""

import json
import threading
import uuid

import pytest

from langchain_finetune.local.page.job_form import TOKEN_KEY
from langchain_finetune.local.page.training_data import preference_line, split

PATH = "/ui/jobs/new"
QUESTION = {"role": "user", "content": "A room with two beds?"}


def answer(text):
    return [{"role": "assistant", "content": text}]


@pytest.fixture
def dataset(langsmith):
    """Makes a dataset of this test's own and returns its id."""

    def make(count=12, name="", inputs=None, outputs=None):
        made = langsmith.create_dataset(name or f"chats {uuid.uuid4().hex[:8]}")
        examples = [
            {
                "inputs": inputs or {"messages": [QUESTION]},
                "reference_outputs": outputs or {"message": answer(f"Room {n}.")[0]},
            }
            for n in range(count)
        ]
        if examples:
            langsmith.create_examples(dataset_id=made.id, examples=examples)
        return str(made.id)

    return make


@pytest.fixture
def send(visitor, way):
    """Fills in a fresh form and sends it."""

    def send(**fields):
        [token] = visitor.get(PATH).all("input", name="token")
        given = {"token": token["value"], "model": "nano", "method": "supervised"}
        return visitor.post(PATH, **given | {"seed": str(way.SUCCEED)} | fields)

    return send


def job_of(client, page):
    assert page.status == 200, page.text
    assert page.address.startswith("/ui/jobs/ftjob-")
    return client.fine_tuning.jobs.retrieve(page.address.rpartition("/")[2])


def lines_of(client, file_id):
    return [json.loads(line) for line in client.files.content(file_id).text.splitlines()]


def fault(page):
    assert page.status == 400
    [told] = [
        each["aria-describedby"].split()[0].removesuffix("-fault")
        for tag in ("input", "select")
        for each in page.all(tag)
        if each.get("aria-invalid") == "true"
    ]
    return told


def test_a_dataset_becomes_a_training_file_and_a_job(send, dataset, client, ended):
    tools = [{"type": "function", "function": {"name": "find_room", "parameters": {}}}]
    dataset_id = dataset(inputs={"messages": [QUESTION], "tools": tools})
    lora = {"lora_rank": "4", "lora_alpha": "6.5", "lora_targets": "q_proj, v_proj"}
    lora["load_in_4bit"] = "true"
    page = send(source=f"dataset:{dataset_id}", n_epochs="2", suffix="desk", **lora)
    job = job_of(client, page)
    assert (job.model, job.seed, job.user_provided_suffix) == ("nano", 0, "desk")
    lines = lines_of(client, job.training_file)
    assert len(lines) == 12
    assert lines[0] == {"messages": [QUESTION, *answer("Room 0.")], "tools": tools}
    asked = ended(job.id).method.supervised.hyperparameters
    assert (asked.n_epochs, asked.lora_rank) == (2, 4)
    assert (asked.lora_alpha, asked.lora_targets) == (6.5, ["q_proj", "v_proj"])
    assert asked.load_in_4bit is True


def test_the_schema_of_a_structured_output_is_in_the_lines(send, dataset, client):
    form = {"type": "json_schema", "json_schema": {"name": "Sum", "schema": {"type": "object"}}}
    tools = [{"type": "function", "function": {"name": "find_room", "parameters": {}}}]
    given = {"messages": [QUESTION], "tools": tools, "parallel_tool_calls": False}
    for known in (form, {"type": "unknown"}):
        dataset_id = dataset(inputs={**given, "response_format": known})
        job = job_of(client, send(source=f"dataset:{dataset_id}"))
        line = {**given, "messages": [QUESTION, *answer("Room 0.")]}
        expected = {**line, "response_format": known} if known is form else line
        assert lines_of(client, job.training_file)[0] == expected


def test_a_share_of_a_dataset_validates(send, dataset, client):
    dataset_id = dataset(count=20)
    one = job_of(client, send(source=f"dataset:{dataset_id}", validation_share="10"))
    two = job_of(client, send(source=f"dataset:{dataset_id}", validation_share="10"))
    train, validation = (
        lines_of(client, file) for file in (one.training_file, one.validation_file)
    )
    assert (len(train), len(validation)) == (18, 2)
    assert not [line for line in validation if line in train]
    assert lines_of(client, two.validation_file) == validation
    assert client.files.retrieve(one.validation_file).filename.endswith(", 2 examples.jsonl")


def test_uploaded_files_are_trained_on(send, upload, client):
    train, validation = upload(), upload()
    page = send(source=f"file:{train}", validation_file=validation, early_stopping_patience="2")
    job = job_of(client, page)
    assert (job.training_file, job.validation_file) == (train, validation)


def test_judged_chats_train_with_kto(send, dataset, client):
    [said] = answer("Yes.")
    dataset_id = dataset(outputs={"message": said, "label": False})
    given = {"source": f"dataset:{dataset_id}", "method": "kto", "undesirable_weight": "2"}
    job = job_of(client, send(**given))
    assert job.method.type == "kto"
    assert job.method.kto["hyperparameters"]["undesirable_weight"] == 2
    assert lines_of(client, job.training_file)[0] == {"messages": [QUESTION, said], "label": False}
    page = send(**given, batch_size="1")
    assert fault(page) == "batch_size"
    page = send(**given | {"source": f"dataset:{dataset()}"})
    assert fault(page) == "source"
    assert "is a chat: choose supervised" in page.text


def test_preferences_train_with_dpo(send, dataset, client):
    sides = {"preferred_output": answer("Yes."), "non_preferred_output": answer("No.")}
    dataset_id = dataset(outputs=sides)
    job = job_of(client, send(source=f"dataset:{dataset_id}", method="dpo", beta="0.2"))
    assert job.method.type == "dpo"
    assert lines_of(client, job.training_file)[0] == {
        "input": {"messages": [QUESTION]},
        **sides,
    }
    page = send(source=f"dataset:{dataset_id}")
    assert fault(page) == "source"
    assert "is a preference: choose DPO" in page.text


def test_a_fine_tuned_model_is_trained_further(send, create, ended, upload, client):
    first = ended(create().id)
    job = job_of(client, send(source=f"file:{upload()}", model=first.fine_tuned_model))
    assert job.model == first.fine_tuned_model


def test_sending_twice_makes_one_job(send, visitor, upload, client):
    fields = {"source": f"file:{upload()}", "token": uuid.uuid4().hex, "suffix": "once"}
    addresses = []

    def click():
        addresses.append(send(**fields).address)

    clicks = [threading.Thread(target=click) for _ in range(4)]
    for each in clicks:
        each.start()
    for each in clicks:
        each.join()
    assert len(set(addresses)) == 1
    # The same form, changed by somebody who went back, is another job.
    other = send(**fields | {"suffix": "twice"})
    assert other.address not in addresses
    assert TOKEN_KEY in job_of(client, other).metadata


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("source", "", "Choose a dataset or a file."),
        ("source", "file:file-gone", "The file is gone; choose another."),
        ("n_epochs", "99", "Must be at most 50."),
        ("n_epochs", "many", "Must be a whole number."),
        ("seed", "-1", "Must be at least 0."),
        ("suffix", "x" * 65, "Must have at most 64 characters."),
        ("validation_share", "60", "Enter a percentage from 0 to 50."),
        ("validation_share", "nan", "Enter a percentage from 0 to 50."),
        ("validation_share", "10", "A share is taken of datasets"),
        ("validation_file", "file-gone", "The file is gone; choose another."),
        ("early_stopping_patience", "2", "watches the validation loss"),
        ("lora_rank", "-1", "Must be at least 0."),
        ("model", "", "Choose a model."),
        ("other_model", "no such base", "There is no base model"),
    ],
)
def test_what_is_wrong_is_told_in_its_place(send, upload, client, field, value, sentence):
    jobs = [job.id for job in client.fine_tuning.jobs.list(limit=5).data]
    page = send(**{"source": f"file:{upload()}", field: value})
    assert sentence in page.text
    assert fault(page) == ("validation_file" if field == "early_stopping_patience" else field)
    # What was typed in is still there.
    if field == "suffix":
        assert page.all("input", name=field)[0]["value"] == value
    assert [job.id for job in client.fine_tuning.jobs.list(limit=5).data] == jobs


@pytest.mark.parametrize(
    ("examples", "sentence"),
    [
        ({"count": 3}, "must have at least 10"),
        ({"outputs": {"label": "good"}}, "holds no chat."),
        ({"outputs": {"message": {"role": "assistant", "content": ""}}}, "Line 1 of the training"),
        ({"count": 0}, "The dataset has no examples."),
    ],
)
def test_an_unfit_dataset_is_refused_and_leaves_no_file(send, dataset, client, examples, sentence):
    files = {file.id for file in client.files.list()}
    page = send(source=f"dataset:{dataset(**examples)}")
    assert fault(page) == "source"
    assert sentence in page.text
    assert {file.id for file in client.files.list()} == files


def test_dpo_needs_preferences(send, dataset, upload):
    for source in (f"dataset:{dataset()}", f"file:{upload()}"):
        page = send(source=source, method="dpo")
        assert fault(page) == "source"


def test_an_unknown_method_or_a_form_without_token_is_refused(send, upload):
    assert "methods 'supervised', 'dpo', 'kto' only" in send(source="file:x", method="rl").text
    page = send(source=f"file:{upload()}", token="")
    assert page.status == 400
    assert "open the page again" in page.text


def test_names_with_markup_are_text(visitor, dataset, client, jsonl, send):
    name = f"<img src=x onerror=alert(1)> {uuid.uuid4().hex[:6]}"
    dataset_id = dataset(name=name)
    client.files.create(file=(f'"><script>{name}.jsonl', jsonl()), purpose="fine-tune")
    page = visitor.get(PATH)
    assert page.all("img") == []
    assert name in page.text
    page = send(source=f"dataset:{dataset_id}")
    assert page.all("img") == []
    assert f"{name}, training, " in page.text


def test_the_address_fills_the_form(visitor, dataset):
    dataset_id = dataset()
    page = visitor.get(PATH, dataset=dataset_id, model="Qwen/Qwen3-0.6B")
    [chosen] = page.all("option", value=f"dataset:{dataset_id}")
    assert "selected" in chosen
    assert page.all("input", name="other_model")[0]["value"] == "Qwen/Qwen3-0.6B"


def test_other_sites_can_start_no_job(ask, cookie, upload, client):
    before = client.fine_tuning.jobs.list(limit=1).data[0].id
    form = {"token": "t", "model": "nano", "source": f"file:{upload()}"}
    headers = {"Cookie": cookie, "Origin": "http://evil.example"}
    assert ask("POST", PATH, headers, form)[0] == 403
    assert client.fine_tuning.jobs.list(limit=1).data[0].id == before


def test_the_same_set_is_parted_the_same_way_in_any_order():
    lines = [(str(number), b"%d" % number) for number in range(50)]
    _, first = split(lines, 0.2)
    _, again = split(lines[::-1], 0.2)
    assert sorted(first) == sorted(again)


def test_preferences_are_read_in_both_shapes():
    asked = {"messages": [QUESTION], "tools": []}
    sides = {"preferred_output": answer("Yes."), "non_preferred_output": answer("No.")}
    line = {"input": asked, **sides}
    assert preference_line(asked, sides) == preference_line({"input": asked}, sides) == line
    for inputs, outputs in ((None, sides), (asked, None), ({"input": "x"}, sides), (asked, {})):
        assert preference_line(inputs, outputs) is None
