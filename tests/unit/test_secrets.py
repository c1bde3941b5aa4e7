"""API keys and the like are found, told by place, and never quoted."""

import json
import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, HumanMessage
from langsmith.anonymizer import DEFAULT_SECRET_RULES

from langchain_finetune import Convert
from langchain_finetune.checks import Finding
from langchain_finetune.convert.rows import Outcome, Row
from langchain_finetune.convert.secrets import masked, secret_rows

A = "Ab1" * 30
# Put together here, so that no scanner takes this file for a leak.
SECRETS = [
    ("openai", "sk-" + A[:48]),
    ("openai", "sk-" + "proj-" + A[:48]),
    ("anthropic", "sk-" + "ant-api03-" + A[:40]),
    ("langsmith", "lsv2_" + "pt_" + A[:32] + "_" + A[:10]),
    ("github", "ghp" + "_" + A[:36]),
    ("github", "github_" + "pat_" + A[:82]),
    ("gitlab", "glpat" + "-" + A[:20]),
    ("aws", "AKIA" + "IOSFODNN7EXAMPLE"),
    ("google", "AIza" + A[:35]),
    ("slack", "xox" + "b-" + A[:30]),
    ("slack", "https://hooks.slack.com/services/" + "T1/B2/C3"),
    ("stripe", "sk" + "_live_" + A[:24]),
    ("npm", "npm" + "_" + A[:36]),
    ("sendgrid", "SG" + "." + A[:22] + "." + A[:43]),
    ("jwt", "eyJ" + A[:20] + ".eyJ" + A[:20] + "." + A[:20]),
    ("private_key", "-----BEGIN RSA PRIVATE " + "KEY-----\nabc\n-----END RSA PRIVATE KEY-----"),
    ("bearer_token", "Bearer " + A[:24]),
    ("bearer_token", '"Authorization": "Basic ' + A[:24] + '"'),
    ("assigned", "MY_API_KEY=" + A[:12]),
    ("assigned", "password: " + A[:12]),
    ("url_password", "postgres://ada:" + A[:12] + "@db"),
]
HARMLESS = [
    "Ask me about the key to the desk-drawer, token by token: it is no secret.",
    "A task-oriented risk-averse disk-like bearer of news",
    "https://example.com:8080/path?query=1",
    "my tokenizer: fast, your passwords: safe",
    "10:30 @ the office",
]


def chat(text, answer="Yes"):
    return {
        "messages": [{"role": "user", "content": text}, {"role": "assistant", "content": answer}]
    }


def searched(example, action="report"):
    outcome = Outcome()
    row = Row("r", {}, example=example)
    row.number = 1
    rows = list(secret_rows(iter([row]), outcome, action))
    return rows, outcome


@pytest.mark.parametrize(("kind", "secret"), SECRETS)
def test_each_kind_is_found_and_masked(kind, secret):
    text, kinds = masked(f"It is {secret} so")
    assert kinds == [kind]
    assert secret not in text
    assert A[:12] not in text
    assert text.startswith("It is ")
    assert text.endswith(" so")


@pytest.mark.parametrize("text", HARMLESS)
def test_plain_talk_holds_no_secret(text):
    assert masked(text) == (text, [])


@pytest.mark.parametrize(
    "rule", DEFAULT_SECRET_RULES, ids=lambda rule: rule["pattern"].pattern[:20]
)
def test_no_short_cut_hides_what_a_rule_of_langsmith_finds(rule):
    """The rules come from a library: a new or changed one must not be passed over."""

    @settings(suppress_health_check=list(HealthCheck), deadline=None, max_examples=40)
    @given(st.from_regex(rule["pattern"], fullmatch=True))
    def all_are_found(secret):
        text = f"It is {secret} so"
        if rule["pattern"].search(text):
            assert masked(text)[1]

    all_are_found()


def test_it_is_told_where_and_never_what():
    _, secret = SECRETS[0]
    [row], outcome = searched(chat("Hi", f"Use {secret}"))
    assert secret in row.line.decode()
    [finding] = outcome.findings
    assert str(finding) == (
        "row 1, r, message 1: Text contains a possible secret (openai). (secret_openai)"
    )
    assert isinstance(finding, Finding)
    assert finding.severity == "warning"
    assert outcome.counts == {"secrets.openai": 1}
    assert secret not in repr(outcome) + repr(finding)


def test_secrets_hide_in_arguments_results_and_tools():
    _, key = SECRETS[4]
    arguments = json.dumps({"header": {"x": f'"{key}"'}})
    call = {"id": "c", "type": "function", "function": {"name": "get", "arguments": arguments}}
    example = {
        "messages": [
            {"role": "user", "content": "Get it"},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c", "content": f"got {key}"},
            {"role": "assistant", "content": "Done"},
        ],
        "tools": [{"type": "function", "function": {"name": "get", "description": f"By {key}"}}],
    }
    [row], outcome = searched(example)
    assert row.example is example
    assert {each.index for each in outcome.findings} == {1, 2, None}
    [row], outcome = searched(example, "redact")
    assert outcome.findings.fixed == {"secret_github": 3}
    assert key not in row.line.decode()
    function = row.example["messages"][1]["tool_calls"][0]["function"]
    assert json.loads(function["arguments"]) == {"header": {"x": '"[SECRET_DETECTED]"'}}
    assert masked(row.line.decode())[1] == []


def test_the_same_in_one_message_counts_once():
    _, key = SECRETS[0]
    _, outcome = searched(chat(f"{key} {key} {SECRETS[7][1]}", key))
    assert outcome.counts == {"secrets.openai": 2, "secrets.aws": 1}


def test_rejecting():
    secret = SECRETS[0][1]
    rows, outcome = searched(chat(f"{secret} {SECRETS[7][1]}"), "reject")
    assert rows == []
    [skip] = outcome.rejected
    assert (skip.id, skip.code) == ("r", "secret_openai")
    assert skip.reason == "Text contains a possible secret (openai). (message 0)"
    assert outcome.findings.errors == {"secret_openai": 1, "secret_aws": 1}


def test_convert_reports_by_default():
    secret = SECRETS[0][1]
    sessions = [{"messages": [HumanMessage(f"Use {secret}"), AIMessage("Yes")], "source": {}}]
    examples = Convert().invoke(sessions)
    assert len(list(examples)) == 1
    assert examples.notes == {"secrets.openai": 1}
    [line] = Convert(secrets="redact").invoke(sessions)
    assert line["messages"][0]["content"] == "Use [SECRET_DETECTED]"
    assert list(Convert(secrets="reject").invoke(sessions)) == []


def test_every_kind_has_a_prefix_in_lower_case():
    from langchain_finetune.convert.secrets import _KINDS

    assert all(re.fullmatch(r"[^A-Z]+", start) for start in _KINDS)
