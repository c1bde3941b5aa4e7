// The calls of an app with the AI SDK. PROVIDER is openai (Responses), chat or anthropic.
import { readFileSync } from "node:fs";
import * as ai from "ai";
import { createAnthropic } from "@ai-sdk/anthropic";
import { createOpenAI } from "@ai-sdk/openai";
import { z } from "zod";

const { STUB, CASES, PROVIDER } = process.env;
const openai = createOpenAI({ baseURL: `${STUB}/v1`, apiKey: "x" });
const model = {
  openai: () => openai.responses("gpt-4.1"),
  chat: () => openai.chat("gpt-4.1"),
  anthropic: () => createAnthropic({ baseURL: `${STUB}/v1`, apiKey: "x" })("claude-sonnet-4-5"),
}[PROVIDER]();
const calculator = ai.tool({
  description: "Does sums.",
  inputSchema: z.object({ expression: z.string() }),
  execute: async () => "8",
});

export async function makeCalls({ generateText, streamText }, settings = {}) {
  for (const [name, each] of Object.entries(JSON.parse(readFileSync(CASES, "utf8")))) {
    const request = { model, prompt: each.question, temperature: 0.2, maxRetries: 0, ...settings };
    if (each.system) request[ai.stepCountIs && !ai.isStepCount ? "system" : "instructions"] = each.system;
    if (each.tool) {
      request.tools = { calculator };
      request.stopWhen = (ai.isStepCount ?? ai.stepCountIs)(3);
    }
    if (each.structured) request.output = ai.Output.object({ schema: z.object({ answer: z.number() }) });
    try {
      if (each.stream) {
        for await (const _ of streamText(request).textStream);
      } else {
        await generateText(request);
      }
    } catch (error) {
      console.log(`${name}: ${String(error).slice(0, 300)}`);
    }
  }
}
