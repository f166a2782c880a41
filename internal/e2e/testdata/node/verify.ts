// Checks deliveries with both of npm's libraries. Standard input is a list of
// them; standard output is what each library said, in the same order.
import { text } from "node:stream/consumers";
import { Webhook as StandardWebhook } from "standardwebhooks";
import { Webhook as SvixWebhook } from "svix";

type Delivery = { secret: string; headers: Record<string, string>; body: string };

function verified(check: () => unknown): boolean {
  try {
    check();
    return true;
  } catch {
    return false;
  }
}

const deliveries: Delivery[] = JSON.parse(await text(process.stdin));
const said = deliveries.map(({ secret, headers, body }) => {
  const raw = Buffer.from(body, "base64").toString("utf8");
  return {
    svix: verified(() => new SvixWebhook(secret).verify(raw, headers)),
    standardwebhooks: verified(() => new StandardWebhook(secret).verify(raw, headers)),
  };
});
console.log(JSON.stringify(said));
