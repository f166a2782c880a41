import { answers, refused } from "./calls";
import { fits, having, id, natural, recent, soon, until } from "./expect";
import type { World } from "./world";

const unknown = { app: "app_000000000000000000000000000", endpoint: "ep_000000000000000000000000000", message: "msg_000000000000000000000000000", attempt: "atmpt_000000000000000000000000000" };

/** Waits until an endpoint has so many attempts, and returns them, the newest first. */
async function attempted(world: World, app: string, endpoint: string, count: number) {
  return until(`${count} attempts`, async () => {
    const { data } = await answers(200, world.svix.messageAttempt.listByEndpoint(app, endpoint, { withContent: true }));
    return data.length >= count ? data : undefined;
  });
}

/** Stories of svix.messageAttempt and endpoint.getStats. */
export const attempts = {
  async "a success and a failure"(world: World) {
    const { svix, receiver } = world, app = await world.application("attempt-shapes");
    receiver.statuses.set("/shapes/bad", 503);
    const good = await world.endpoint(app, "/shapes/good"), bad = await world.endpoint(app, "/shapes/bad", { uid: "bad" });
    await world.retries(app, bad);
    const sent = await world.message(app, { a: 1 }, { channels: ["one"], tags: ["red"], eventId: "shapes" });
    const [success] = await attempted(world, app, good, 1), [failure] = await attempted(world, app, bad, 1);
    const shape = (endpoint: string, path: string) => ({
      id: id("atmpt"), msgId: sent, endpointId: endpoint, url: receiver.url(path), response: `answered ${path}`,
      responseDurationMs: natural, triggerType: 0, timestamp: recent, msg: undefined,
    });
    fits("an attempt that succeeded", success, { ...shape(good, "/shapes/good"), responseStatusCode: 200, status: 0, statusText: "success" });
    fits("an attempt that failed", failure, { ...shape(bad, "/shapes/bad"), responseStatusCode: 503, status: 2, statusText: "fail" });
    fits("messageAttempt.get", await answers(200, svix.messageAttempt.get(app, "shapes", failure.id)), { ...failure });

    const listed = async (some: object) => (await answers(200, svix.messageAttempt.listByMsg(app, sent, some))).data.map((a) => a.id);
    const both = [failure.id, success.id].sort().reverse();
    fits("messageAttempt.listByMsg", await listed({}), both);
    fits("messageAttempt.listByMsg by endpoint", await listed({ endpointId: bad }), [failure.id]);
    const named = await answers(200, svix.messageAttempt.listByMsg(world.name("attempt-shapes"), "shapes", { endpointId: "bad" }));
    fits("messageAttempt.listByMsg by uids", named.data.map((a) => a.id), [failure.id]);
    for (const [some, want] of [
      [{ status: 0 }, [success.id]], [{ status: 2 }, [failure.id]], [{ status: 3 }, []],
      [{ statusCodeClass: 200 }, [success.id]], [{ statusCodeClass: 500 }, [failure.id]], [{ statusCodeClass: 400 }, []],
      [{ channel: "one" }, both], [{ channel: "two" }, []], [{ tag: "red" }, both], [{ tag: "blue" }, []],
      [{ eventTypes: ["conformance.tested"] }, both], [{ eventTypes: ["other"] }, []],
      [{ after: new Date(Date.now() - 60_000) }, both], [{ before: new Date(Date.now() - 60_000) }, []],
    ] as const) {
      fits(`messageAttempt.listByMsg of ${JSON.stringify(some)}`, await listed(some), want);
      const { data } = await answers(200, svix.messageAttempt.listByEndpoint(app, bad, some as object));
      fits(`messageAttempt.listByEndpoint of ${JSON.stringify(some)}`, data.map((a) => a.id), want.filter((a) => a === failure.id));
      // Of a message its status is asked, which differs from an attempt's.
      if ("status" in some || "statusCodeClass" in some) continue;
      const { data: messages } = await answers(200, svix.messageAttempt.listAttemptedMessages(app, bad, some as object));
      fits(`messageAttempt.listAttemptedMessages of ${JSON.stringify(some)}`, messages.map((m) => m.id), want.length > 0 ? [sent] : []);
    }
    const { data: bare } = await answers(200, svix.messageAttempt.listByEndpoint(app, good, { withMsg: true }));
    fits("messageAttempt.listByEndpoint with messages, without contents", bare, [{
      ...success, response: "",
      msg: { id: sent, eventType: "conformance.tested", eventId: "shapes", payload: {}, channels: ["one"], tags: ["red"], timestamp: recent, deliverAt: null },
    }]);
  },

  async "refusals"(world: World) {
    const { svix } = world, app = await world.application("attempt-refusals"), other = await world.application("attempt-refusals-other");
    const endpoint = await world.endpoint(app, "/refusals"), message = await world.message(app);
    const [attempt] = await attempted(world, app, endpoint, 1), list = svix.messageAttempt;
    await refused(list.listByEndpoint(app, unknown.endpoint), 404, "not_found");
    await refused(list.listByEndpoint(other, endpoint), 404, "not_found");
    await refused(list.listByEndpoint(app, endpoint, { status: 5 as never }), 422, ["query", "status"]);
    await refused(list.listByEndpoint(app, endpoint, { iterator: "atmpt_nonsense" }), 422, ["query", "iterator"]);
    await refused(list.listByMsg(app, unknown.message), 404, "not_found");
    await refused(list.listByMsg(app, message, { endpointId: unknown.endpoint }), 404, "not_found");
    await refused(list.listByMsg(app, message, { limit: 251 }), 422, ["query", "limit"]);
    await refused(list.listAttemptedMessages(app, unknown.endpoint), 404, "not_found");
    await refused(list.listAttemptedMessages(app, endpoint, { limit: 251 }), 422, ["query", "limit"]);
    await refused(list.listAttemptedDestinations(app, unknown.message), 404, "not_found");
    await refused(list.listAttemptedDestinations(app, message, { limit: 251 }), 422, ["query", "limit"]);
    await refused(list.get(app, message, unknown.attempt), 404, "not_found");
    await refused(list.get(app, unknown.message, attempt.id), 404, "not_found");
    await refused(list.get(other, message, attempt.id), 404, "not_found");
    await refused(list.expungeContent(app, message, unknown.attempt), 404, "not_found");
    await refused(list.expungeContent(other, message, attempt.id), 404, "not_found");
    await refused(list.resend(app, message, unknown.endpoint), 404, "not_found");
    await refused(list.resend(app, unknown.message, endpoint), 404, "not_found");
    await refused(list.resend(other, message, endpoint), 404, "not_found");
  },

  async "each status, plain and expanded"(world: World) {
    const { svix, receiver } = world, app = await world.application("attempt-statuses");
    for (const path of ["/statuses/sending", "/statuses/dead", "/statuses/canceled"]) receiver.statuses.set(path, 500);
    const made = async (what: string, uid = what) => world.endpoint(app, `/statuses/${what}`, { uid });
    const ids = [await made("success"), await made("pending"), await made("sending"), await made("dead"), await made("canceled")];
    await world.beside(200, "POST", `/app/${app}/endpoint/pending/pause`);
    await world.retries(app, "dead");
    for (const endpoint of ["sending", "canceled"]) await world.retries(app, endpoint, 600);
    const sent = await world.message(app);
    for (const endpoint of [ids[0], ids[2], ids[3], ids[4]]) await attempted(world, app, endpoint, 1);
    await world.beside(204, "POST", `/app/${app}/msg/${sent}/endpoint/canceled/cancel`);

    const standing = [
      { status: 0, statusText: "success", nextAttempt: null }, { status: 1, statusText: "pending", nextAttempt: null },
      { status: 3, statusText: "sending", nextAttempt: soon }, { status: 2, statusText: "fail", nextAttempt: null },
      { status: 4, statusText: "canceled", nextAttempt: null },
    ];
    for (const [i, endpoint] of ids.entries()) {
      const { data } = await answers(200, svix.messageAttempt.listAttemptedMessages(app, endpoint));
      fits(`messageAttempt.listAttemptedMessages of ${standing[i].statusText}`, data, [{
        id: sent, eventType: "conformance.tested", eventId: null, payload: {}, channels: null, tags: null, timestamp: recent, deliverAt: null, ...standing[i],
      }]);
      for (const status of [0, 1, 2, 3, 4] as const) {
        const found = await answers(200, svix.messageAttempt.listAttemptedMessages(app, endpoint, { status, withContent: true }));
        const want = status === standing[i].status ? [having({ id: sent, payload: { of: app } })] : [];
        fits(`messageAttempt.listAttemptedMessages of ${standing[i].statusText}, status ${status}`, found.data, want);
      }
    }
    const plain = await answers(200, svix.messageAttempt.listAttemptedMessages(app, "canceled", { expandedStatuses: false }));
    fits("a canceled one without expandedStatuses", plain.data, [having({ status: 0, statusText: "success" })]);
    // This method cannot ask for expanded statuses.
    const destinations = await answers(200, svix.messageAttempt.listAttemptedDestinations(app, sent));
    fits("messageAttempt.listAttemptedDestinations", destinations, {
      data: ids.map((endpoint, i) => having({ id: endpoint, createdAt: recent, eventTypes: null, channels: null, ...standing[i], ...(i === 4 ? standing[0] : {}) })),
      iterator: ids[4], prevIterator: `-${ids[0]}`, done: true,
    });
  },

  async "resend, and expunge what was answered"(world: World) {
    const { svix, receiver } = world, app = await world.application("attempt-resend");
    const endpoint = await world.endpoint(app, "/resend", { channels: ["other"] }), sent = await world.message(app);
    const none = await answers(200, svix.messageAttempt.listByMsg(app, sent));
    fits("messageAttempt.listByMsg of one that went nowhere", none, { data: [], iterator: null, prevIterator: null, done: true });
    // Filters do not matter to a resend.
    fits("messageAttempt.resend", await answers(202, svix.messageAttempt.resend(app, sent, endpoint)), {});
    const [first] = await attempted(world, app, endpoint, 1);
    fits("a resent attempt", first, having({ msgId: sent, status: 0, triggerType: 1, response: "answered /resend" }));
    await answers(202, svix.messageAttempt.resend(app, sent, endpoint));
    const again = await attempted(world, app, endpoint, 2);
    const got = await receiver.await("/resend", 2);
    fits("the ids of both deliveries", got.map((r) => r.headers["webhook-id"]), [sent, sent]);

    await answers(204, svix.messageAttempt.expungeContent(app, sent, first.id));
    fits("messageAttempt.get of an expunged one", await answers(200, svix.messageAttempt.get(app, sent, first.id)), { ...first, response: "EXPUNGED" });
    fits("messageAttempt.get of the other", await answers(200, svix.messageAttempt.get(app, sent, again[0].id)), having({ response: "answered /resend" }));
  },

  async "counts of an endpoint"(world: World) {
    const { svix } = world, app = await world.application("attempt-stats"), endpoint = await world.endpoint(app, "/stats");
    world.receiver.statuses.set("/stats", 500);
    await world.retries(app, endpoint);
    const since = new Date(Date.now() - 3_600_000);
    await world.message(app);
    await attempted(world, app, endpoint, 1);
    world.receiver.statuses.set("/stats", 200);
    await world.message(app);
    await attempted(world, app, endpoint, 2);
    for (const options of [undefined, { since }, { since, until: new Date() }]) {
      fits("endpoint.getStats", await answers(200, svix.endpoint.getStats(app, endpoint, options)), { success: 1, fail: 1, pending: 0, sending: 0, canceled: 0 });
    }
    const old = await answers(200, svix.endpoint.getStats(app, endpoint, { since, until: new Date(since.getTime() + 1000) }));
    fits("endpoint.getStats of an hour ago", old, { success: 0, fail: 0, pending: 0, sending: 0, canceled: 0 });
    const day = 86_400_000;
    await refused(svix.endpoint.getStats(app, endpoint, { since: new Date(Date.now() - 29 * day) }), 400, "invalid_range");
    await refused(svix.endpoint.getStats(app, endpoint, { until: new Date(Date.now() + day) }), 400, "invalid_range");
    await refused(svix.endpoint.getStats(app, endpoint, { since: new Date(), until: since }), 400, "invalid_range");
    await refused(svix.endpoint.getStats(app, unknown.endpoint), 404, "not_found");
  },
};
