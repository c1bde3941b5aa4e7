// The AI SDK under LangSmith's wrapper, or its telemetry (AI SDK 7).
import * as ai from "ai";
import { Client } from "langsmith";
import * as vercel from "langsmith/experimental/vercel";
import { makeCalls } from "./ai_sdk_calls.mjs";

const client = new Client();
if (ai.registerTelemetry) ai.registerTelemetry(vercel.LangSmithTelemetry({ client }));
await makeCalls(ai.registerTelemetry ? ai : vercel.wrapAISDK(ai, { client }));
await client.awaitPendingTraceBatches();
