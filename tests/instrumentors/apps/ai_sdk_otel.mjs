// The AI SDK with its own spans, sent by OTLP.
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-http";
import { BatchSpanProcessor, NodeTracerProvider } from "@opentelemetry/sdk-trace-node";
import * as ai from "ai";
import { makeCalls } from "./ai_sdk_calls.mjs";

const provider = new NodeTracerProvider({ spanProcessors: [new BatchSpanProcessor(new OTLPTraceExporter())] });
provider.register();
if (ai.registerTelemetry) ai.registerTelemetry(new (await import("@ai-sdk/otel")).OpenTelemetry());
await makeCalls(ai, { experimental_telemetry: { isEnabled: true, metadata: { thread_id: "t-1" } } });
await provider.shutdown();
