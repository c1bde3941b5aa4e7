"use strict";
// Streams answers. The engine validates the form, builds the requests and renders the page; this
// script submits the form, streams the answers, and stores them in the form.
{
  const form = document.getElementById("playground");
  const announcement = document.getElementById("announcement");
  let stop = null;

  const column = (number) => form.querySelector(`[data-column="${number}"]`);

  const typedTexts = () => new Map([...form.querySelectorAll("textarea[id], input[id]")].map((each) => [each.id, each.value]));

  // Submits the form, and shows the playground as the engine renders it.
  const turn = async (action) => {
    const fields = new URLSearchParams(new FormData(form));
    const sent = typedTexts();
    fields.set("action", action);
    const response = await fetch("/ui/playground/turn", { method: "POST", body: fields });
    // Not a reload, which would lose the typed text.
    if (response.status === 401 || response.redirected) {
      throw new Error("The session has ended. Sign in in another tab, then send again.");
    }
    const body = await response.json().catch(() => null);
    if (!response.ok || !body) throw new Error(body?.error?.message ?? "The engine failed to handle the request; see its log.");
    const focused = document.activeElement;
    const [id, start, end] = [focused?.id, focused?.selectionStart, focused?.selectionEnd];
    const isOpen = document.getElementById("setup").open;
    const now = typedTexts();
    form.innerHTML = body.html;
    // Text that was typed in the meantime is newer than the rendered text.
    for (const [field, text] of now) {
      const before = sent.get(field) ?? "";
      const drawn = text !== before && document.getElementById(field);
      if (drawn) drawn.value = text.startsWith(before) ? drawn.value + text.slice(before.length) : text;
    }
    if (isOpen) document.getElementById("setup").open = true;
    const again = id && form.querySelector(`#${id}`);
    if (again) {
      again.focus();
      if (typeof start === "number") again.setSelectionRange(start, end);
    }
    return body.requests;
  };

  // Yields the JSON objects of a stream of server-sent events.
  async function* events(response) {
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      const lines = (rest + value).split("\n");
      rest = lines.pop();
      for (const line of lines) {
        const data = line.startsWith("data:") ? line.slice(5).trim() : "";
        if (data && data !== "[DONE]") yield JSON.parse(data);
      }
    }
  }

  const append = (message, delta) => {
    for (const name of ["content", "reasoning_content", "refusal"]) {
      if (delta[name]) message[name] = (message[name] ?? "") + delta[name];
    }
    for (const { index, id, function: change } of delta.tool_calls ?? []) {
      message.tool_calls ??= [];
      const call = (message.tool_calls[index] ??= { id, type: "function", function: { name: "", arguments: "" } });
      call.function.name += change.name ?? "";
      call.function.arguments += change.arguments ?? "";
    }
  };

  const draw = (number, message) => {
    const content = column(number).querySelector("[data-answer] .content");
    const calls = (message.tool_calls ?? []).map((call) => `${call.function.name}(${call.function.arguments})`);
    content.textContent = [message.content ?? message.refusal ?? "", ...calls].filter(Boolean).join("\n");
  };

  // Shows an error or a note below a conversation.
  const showOutcome = ({ number, fault, note }) => {
    column(number).querySelector("[data-fault]").textContent = fault ?? "";
    column(number).querySelector("[data-note]").textContent = note ?? "";
  };

  // Streams an answer; returns its outcome.
  const complete = async ({ column: number, body }, signal) => {
    const message = { role: "assistant", content: null };
    const outcome = { number };
    let ended = false;
    try {
      const response = await fetch("/v1/chat/completions", {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ ...body, stream: true }),
        signal,
      });
      if (!response.ok) throw new Error((await response.json()).error.message);
      for await (const event of events(response)) {
        if (event.error) throw new Error(event.error.message);
        const choice = event.choices?.[0];
        if (!choice) continue;
        append(message, choice.delta);
        draw(number, message);
        if (choice.finish_reason) ended = true;
        if (choice.finish_reason === "length") outcome.note = "The answer was cut off at the token limit.";
      }
      if (!ended) throw new Error("The connection was lost. Send again to retry.");
    } catch (error) {
      if (signal.aborted) outcome.note = "Stopped.";
      else outcome.fault = error instanceof TypeError ? "The engine is unreachable." : error.message;
    }
    // A partial text is kept if it was stopped on purpose; partial tool calls are useless.
    if (!ended) delete message.tool_calls;
    if (ended || (signal.aborted && message.content)) {
      const kept = column(number).querySelector("[name=conversation]");
      kept.value = JSON.stringify([...JSON.parse(kept.value || "[]"), message]);
    } else {
      column(number).querySelector("[data-answer]").remove();
    }
    // At once: the other columns may take longer.
    showOutcome(outcome);
    return outcome;
  };

  const setBusy = (on) => {
    for (const id of ["send", "clear"]) document.getElementById(id).disabled = on;
    for (const each of form.querySelectorAll("select")) each.disabled = on;
    document.getElementById("stop").hidden = !on;
  };

  const run = async (action) => {
    if (stop) return;
    stop = new AbortController();
    try {
      const requests = await turn(action);
      if (!requests.length) {
        const wrong = form.querySelector("[aria-invalid=true]");
        wrong?.focus();
        announcement.textContent = wrong ? "Please correct the errors." : "";
        return;
      }
      setBusy(true);
      announcement.textContent = "The models are answering.";
      const outcomes = await Promise.all(requests.map((request) => complete(request, stop.signal)));
      setBusy(false);
      await turn("show");
      outcomes.forEach(showOutcome);
      announcement.textContent = outcomes.some((each) => each.fault) ? "Not all models could answer." : "All models have answered.";
    } catch (error) {
      const notice = document.createElement("p");
      notice.className = "notice failed";
      notice.setAttribute("role", "alert");
      notice.textContent = error instanceof TypeError ? "The engine is unreachable." : error.message;
      form.querySelector(":scope > .notice")?.remove();
      form.prepend(notice);
    } finally {
      stop = null;
    }
  };

  form.classList.add("scripted");
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    run(event.submitter?.value === "clear" ? "clear" : "submit");
  });
  form.addEventListener("change", (event) => {
    if (event.target.name === "model") run("show");
  });
  form.addEventListener("click", (event) => {
    if (event.target.id === "stop") stop?.abort();
  });
  form.addEventListener("keydown", (event) => {
    const sends = event.key === "Enter" && !event.shiftKey && !event.isComposing;
    if (sends && event.target.id === "message") {
      event.preventDefault();
      run("submit");
    }
  });
}
