// LangChain.js: chat models, and an agent for tools. PROVIDER is one of the keys of `model`.
import { readFileSync } from "node:fs";
import { createAgent, tool } from "langchain";
import { awaitAllCallbacks } from "@langchain/core/callbacks/promises";
import { HumanMessage, SystemMessage } from "@langchain/core/messages";
import { ChatAnthropic } from "@langchain/anthropic";
import { ChatGoogle } from "@langchain/google";
import { ChatGoogleGenerativeAI } from "@langchain/google-genai";
import { ChatOpenAI } from "@langchain/openai";
import { z } from "zod";

const { STUB, CASES, PROVIDER } = process.env;
const gemini = { model: "gemini-2.5-pro", apiKey: "x", temperature: 0.2 };
const openai = { model: "gpt-4.1", apiKey: "x", configuration: { baseURL: `${STUB}/v1` }, temperature: 0.2 };
const model = {
  openai: () => new ChatOpenAI(openai),
  responses: () => new ChatOpenAI({ ...openai, useResponsesApi: true }),
  anthropic: () =>
    new ChatAnthropic({ model: "claude-sonnet-4-5", apiKey: "x", anthropicApiUrl: STUB, temperature: 0.2 }),
  genai: () => new ChatGoogleGenerativeAI({ ...gemini, baseUrl: STUB }),
  google: () => new ChatGoogle({ ...gemini, endpoint: STUB }),
}[PROVIDER]();
const calculator = tool(async () => "8", {
  name: "calculator",
  description: "Does sums.",
  schema: z.object({ expression: z.string() }),
});

for (const [name, each] of Object.entries(JSON.parse(readFileSync(CASES, "utf8")))) {
  const messages = [];
  if (each.system) messages.push(new SystemMessage(each.system));
  messages.push(new HumanMessage(each.question));
  try {
    if (each.tool) {
      const agent = createAgent({ model, tools: [calculator], systemPrompt: each.system, name: "sums" });
      await agent.invoke({ messages: [new HumanMessage(each.question)] });
    } else if (each.stream) {
      for await (const _ of await model.stream(messages));
    } else if (each.structured) {
      const form = z.object({ answer: z.number() });
      await model.withStructuredOutput(form, { name: "Sum" }).invoke(messages);
    } else {
      await model.invoke(messages);
    }
  } catch (error) {
    console.log(`${name}: ${String(error).slice(0, 300)}`);
  }
}
await awaitAllCallbacks();
