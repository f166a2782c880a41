import { createPublicKey, randomBytes, verify } from "node:crypto";
import { Webhook, WebhookVerificationError } from "svix";
import { answers, refused } from "./calls";
import { fits, having, like, not } from "./expect";
import type { Received, World } from "./world";

const week = 604_800;
const secret = () => `whsec_${randomBytes(32).toString("base64")}`;

/** Whether a delivery verifies by the SDK, under each of some secrets. */
function verified(got: Received, ...secrets: string[]): boolean[] {
  return secrets.map((key) => {
    try {
      new Webhook(key).verify(got.body, got.headers);
      return true;
    } catch (error) {
      if (!(error instanceof WebhookVerificationError)) throw error;
      return false;
    }
  });
}

/** Stories of svix.endpoint.getSecret and rotateSecret. */
export const secrets = {
  async "rotate, and verify what is delivered"(world: World) {
    const { svix } = world, app = await world.application("secret-rotate"), first = secret();
    const ep = await world.endpoint(app, "/rotate", { secret: first });
    const read = async () => (await answers(200, svix.endpoint.getSecret(app, ep))).key;
    let count = 0;
    const delivered = async () => {
      await world.message(app, { count: ++count });
      return (await world.receiver.await("/rotate", count))[count - 1];
    };
    fits("endpoint.getSecret of one that was given", await read(), first);
    const before = await delivered();
    fits("before, under the secret", verified(before, first, secret()), [true, false]);
    fits("before, of another body", verified({ ...before, body: Buffer.from("{}") }, first), [false]);

    await answers(204, svix.endpoint.rotateSecret(app, ep)); // the old one signs for a day more
    const second = await read();
    fits("endpoint.getSecret after the rotation", second, like(/^whsec_[0-9A-Za-z+/=]{32,}$/));
    fits("endpoint.getSecret after the rotation", second, not(first));
    const during = await delivered();
    fits("during, under both secrets", verified(during, first, second), [true, true]);
    fits("during, the signatures", during.headers["webhook-signature"], like(/^v1,[^ ]+ v1,[^ ]+$/));

    const third = secret();
    await answers(204, svix.endpoint.rotateSecret(app, ep, { key: third, gracePeriodSeconds: 0 }));
    fits("endpoint.getSecret after a secret was given", await read(), third);
    fits("after, under all secrets", verified(await delivered(), first, second, third), [true, false, true]);

    await refused(svix.endpoint.rotateSecret(app, ep, { key: third }), 422, ["body", "key"]);
    await refused(svix.endpoint.rotateSecret(app, ep, { key: "whsec_!" }), 422, ["body", "key"]);
    for (const gracePeriodSeconds of [week + 1, -1]) {
      await refused(svix.endpoint.rotateSecret(app, ep, { gracePeriodSeconds }), 422, ["body", "gracePeriodSeconds"]);
    }
    fits("endpoint.getSecret after the refusals", await read(), third);
  },

  async "under Svix's names as well"(world: World) {
    const { svix } = world, app = await world.application("secret-names"), ep = await world.endpoint(app, "/names");
    const { key } = await answers(200, svix.endpoint.getSecret(app, ep));
    await world.beside(200, "PATCH", `/app/${app}/endpoint/${ep}`, { svixHeaders: true });
    await world.message(app);
    const [got] = await world.receiver.await("/names", 1);
    const of = (prefix: string) => ({ ...got, headers: Object.fromEntries(Object.entries(got.headers).filter(([name]) => name.startsWith(prefix))) });
    fits("under each of the names", [verified(of("svix-"), key), verified(of("webhook-"), key), verified(of("x-"), key)], [[true], [true], [false]]);
  },

  async "live at most eleven secrets"(world: World) {
    const { svix } = world, app = await world.application("secret-many"), ep = await world.endpoint(app, "/many");
    for (let old = 0; old < 10; old++) await answers(204, svix.endpoint.rotateSecret(app, ep, { gracePeriodSeconds: week }));
    const { key } = await answers(200, svix.endpoint.getSecret(app, ep));
    await refused(svix.endpoint.rotateSecret(app, ep), 400, "limit_reached");
    fits("endpoint.getSecret after the refusal", await answers(200, svix.endpoint.getSecret(app, ep)), { key });
  },

  async "sign asymmetrically"(world: World) {
    const { svix } = world, app = await world.application("secret-asymmetric");
    const ep = await world.endpoint(app, "/asymmetric", { secret: `whsk_${randomBytes(32).toString("base64")}` });
    const { key } = await answers(200, svix.endpoint.getSecret(app, ep));
    fits("endpoint.getSecret of an asymmetric one", key, like(/^whpk_[0-9A-Za-z+/]{43}=$/));
    await world.message(app);
    const [got] = await world.receiver.await("/asymmetric", 1);
    fits("the signature", got.headers, having({ "webhook-signature": like(/^v1a,/) }));
    const raw = Buffer.from(key.slice("whpk_".length), "base64");
    const publicKey = createPublicKey({ key: { kty: "OKP", crv: "Ed25519", x: raw.toString("base64url") }, format: "jwk" });
    const signed = Buffer.concat([Buffer.from(`${got.headers["webhook-id"]}.${got.headers["webhook-timestamp"]}.`), got.body]);
    const signature = Buffer.from(got.headers["webhook-signature"].slice("v1a,".length), "base64");
    fits("whether the signature is the key's", verify(null, signed, publicKey, signature), true);
  },

  async "read of nobody"(world: World) {
    const { svix } = world, app = await world.application("secret-nobody"), unknown = "ep_000000000000000000000000000";
    await refused(svix.endpoint.getSecret(app, unknown), 404, "not_found");
    await refused(svix.endpoint.rotateSecret(app, unknown), 404, "not_found");
  },
};
