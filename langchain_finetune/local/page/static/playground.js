"use strict";
// Answers appear as they are written. The engine decides what is asked, and draws the page;
// this script sends the form, streams the answers, and keeps the conversations in the form.
{
  const form = document.getElementById("playground");
  const told = document.getElementById("told");
  let stop = null;

  const column = (place) => form.querySelector(`[data-column="${place}"]`);

  const typed = () => new Map([...form.querySelectorAll("textarea[id], input[id]")].map((each) => [each.id, each.value]));

  // Sends the form; puts the playground as the engine draws it in place of what is there.
  const turn = async (action) => {
    const fields = new URLSearchParams(new FormData(form));
    const sent = typed();
    fields.set("action", action);
    const answer = await fetch("/ui/playground/turn", { method: "POST", body: fields });
    // Not a reload: it would lose what was typed in.
    if (answer.status === 401 || answer.redirected) {
      throw new Error("The session has ended: sign in in another tab, then send again.");
    }
    const body = await answer.json().catch(() => null);
    if (!answer.ok || !body) throw new Error(body?.error?.message ?? "The engine failed; its log says where.");
    const focused = document.activeElement;
    const [id, start, end] = [focused?.id, focused?.selectionStart, focused?.selectionEnd];
    const isOpen = document.getElementById("setup").open;
    const now = typed();
    form.innerHTML = body.html;
    // What was typed while the engine drew is newer than what it has drawn.
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
  async function* events(answer) {
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
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

  const take = (message, delta) => {
    for (const name of ["content", "reasoning_content", "refusal"]) {
      if (delta[name]) message[name] = (message[name] ?? "") + delta[name];
    }
    for (const { index, id, function: called } of delta.tool_calls ?? []) {
      message.tool_calls ??= [];
      const call = (message.tool_calls[index] ??= { id, type: "function", function: { name: "", arguments: "" } });
      call.function.name += called.name ?? "";
      call.function.arguments += called.arguments ?? "";
    }
  };

  const draw = (place, message) => {
    const said = column(place).querySelector("[data-answer] .said");
    const calls = (message.tool_calls ?? []).map((call) => `${call.function.name}(${call.function.arguments})`);
    said.textContent = [message.content ?? message.refusal ?? "", ...calls].filter(Boolean).join("\n");
  };

  // Says below a conversation why there is no answer, or what about it is worth knowing.
  const tell = ({ place, fault, note }) => {
    column(place).querySelector("[data-fault]").textContent = fault ?? "";
    column(place).querySelector("[data-note]").textContent = note ?? "";
  };

  // Streams one answer; returns what is to be said about it.
  const ask = async ({ column: place, body }, signal) => {
    const message = { role: "assistant", content: null };
    const outcome = { place };
    let ended = false;
    try {
      const answer = await fetch("/v1/chat/completions", {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ ...body, stream: true }),
        signal,
      });
      if (!answer.ok) throw new Error((await answer.json()).error.message);
      for await (const event of events(answer)) {
        if (event.error) throw new Error(event.error.message);
        const choice = event.choices?.[0];
        if (!choice) continue;
        take(message, choice.delta);
        draw(place, message);
        if (choice.finish_reason) ended = true;
        if (choice.finish_reason === "length") outcome.note = "The answer was cut off: the most tokens were reached.";
      }
      if (!ended) throw new Error("The engine broke off. Send again to ask once more.");
    } catch (error) {
      if (signal.aborted) outcome.note = "Stopped.";
      else outcome.fault = error instanceof TypeError ? "The engine can't be reached." : error.message;
    }
    // Half a call can't be carried out; half a text can be read, if its end was asked for.
    if (!ended) delete message.tool_calls;
    if (ended || (signal.aborted && message.content)) {
      const kept = column(place).querySelector("[name=conversation]");
      kept.value = JSON.stringify([...JSON.parse(kept.value || "[]"), message]);
    } else {
      column(place).querySelector("[data-answer]").remove();
    }
    // The others may go on for long.
    tell(outcome);
    return outcome;
  };

  const busy = (on) => {
    for (const id of ["send", "clear"]) document.getElementById(id).disabled = on;
    for (const each of form.querySelectorAll("select")) each.disabled = on;
    document.getElementById("stop").hidden = !on;
  };

  const play = async (action) => {
    if (stop) return;
    stop = new AbortController();
    try {
      const requests = await turn(action);
      if (!requests.length) {
        const wrong = form.querySelector("[aria-invalid=true]");
        wrong?.focus();
        told.textContent = wrong ? "Something is still to be put right." : "";
        return;
      }
      busy(true);
      told.textContent = "The models answer.";
      const outcomes = await Promise.all(requests.map((request) => ask(request, stop.signal)));
      busy(false);
      await turn("show");
      outcomes.forEach(tell);
      told.textContent = outcomes.some((each) => each.fault) ? "Not all models could answer." : "All models have answered.";
    } catch (error) {
      const notice = document.createElement("p");
      notice.className = "notice failed";
      notice.setAttribute("role", "alert");
      notice.textContent = error instanceof TypeError ? "The engine can't be reached." : error.message;
      form.querySelector(":scope > .notice")?.remove();
      form.prepend(notice);
    } finally {
      stop = null;
    }
  };

  form.classList.add("scripted");
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    play(event.submitter?.value === "clear" ? "clear" : "say");
  });
  form.addEventListener("change", (event) => {
    if (event.target.name === "model") play("show");
  });
  form.addEventListener("click", (event) => {
    if (event.target.id === "stop") stop?.abort();
  });
  form.addEventListener("keydown", (event) => {
    const sends = event.key === "Enter" && !event.shiftKey && !event.isComposing;
    if (sends && event.target.id === "message") {
      event.preventDefault();
      play("say");
    }
  });
}
