// Tells the README's story through types that openapi-typescript made of the
// server's document: publish, look at what became of it, receive from GitHub.
import assert from "node:assert/strict";
import { createHmac, randomUUID } from "node:crypto";
import createClient from "openapi-fetch";
import type { paths } from "./api";

const [server, token, receiver] = process.argv.slice(2) as [string, string, string];
const client = createClient<paths>({ baseUrl: server, headers: { authorization: `Bearer ${token}` } });

async function until<T>(what: string, look: () => Promise<T | undefined>): Promise<T> {
  for (let tries = 0; tries < 400; tries++) {
    const found = await look();
    if (found !== undefined) return found;
    await new Promise((wait) => setTimeout(wait, 25));
  }
  throw new Error(`never: ${what}`);
}

const app = { app: "story" };
const made = await client.POST("/api/v1/app", { body: { name: "Story", uid: "story" } });
assert.equal(made.data?.uid, "story");
const type = await client.POST("/api/v1/event-type", {
  body: { name: "invoice.paid", description: "An invoice was paid" },
});
assert.equal(type.response.status, 201);
const endpoint = await client.POST("/api/v1/app/{app}/endpoint", {
  params: { path: app },
  body: { url: receiver, uid: "receiver", eventTypes: ["invoice.paid", "github.*"] },
});
assert.deepEqual(endpoint.data?.eventTypes, ["invoice.paid", "github.*"]);

const message = await client.POST("/api/v1/app/{app}/msg", {
  params: { path: app },
  body: { eventType: "invoice.paid", payload: { invoice: 17, amount: 1200 } },
});
assert.equal(message.response.status, 202);
assert.deepEqual(message.data?.payload, { invoice: 17, amount: 1200 });

const attempt = await until("an attempt", async () => {
  const { data } = await client.GET("/api/v1/app/{app}/attempt/endpoint/{endpoint}", {
    params: { path: { ...app, endpoint: "receiver" }, query: { limit: 10, status: 0, event_types: ["invoice.paid"] } },
  });
  return data?.data[0];
});
assert.equal(attempt.msgId, message.data?.id);
assert.equal(attempt.responseStatusCode, 200);
assert.equal(attempt.statusText, "success");
assert.equal(attempt.state, "delivered");

const secret = "story-github-secret";
const source = await client.POST("/api/v1/app/{app}/source", {
  params: { path: app },
  body: { name: "GitHub", provider: "github", uid: "github", secrets: [secret], eventTypePrefix: "github." },
});
const address = source.data?.ingestUrl;
assert.ok(address);
const body = '{"zen":"Keep it logically awesome."}';
const signature = "sha256=" + createHmac("sha256", secret).update(body).digest("hex");
const send = (text: string) =>
  fetch(address, {
    method: "POST",
    body: text,
    headers: {
      "content-type": "application/json",
      "x-github-event": "ping",
      "x-github-delivery": randomUUID(),
      "x-hub-signature-256": signature,
    },
  });
assert.equal((await send(body)).status, 202);
assert.equal((await send('{"zen":"Changed on its way."}')).status, 401);

const refusals = await client.GET("/api/v1/app/{app}/source/{source}/refusal", {
  params: { path: { ...app, source: "github" } },
});
assert.equal(refusals.data?.data[0]?.reason, "signature_mismatch");
const pinged = await until("the ping's delivery", async () => {
  const { data } = await client.GET("/api/v1/app/{app}/attempt/endpoint/{endpoint}", {
    params: { path: { ...app, endpoint: "receiver" }, query: { with_msg: true, event_types: ["github.ping"] } },
  });
  return data?.data[0];
});
assert.equal(pinged.msg?.providerEventType, "ping");

// A refusal has its type too.
const unknown = await client.GET("/api/v1/app/{app}", { params: { path: { app: "nobody" } } });
assert.equal(unknown.error && "code" in unknown.error && unknown.error.code, "not_found");
console.log("told");
