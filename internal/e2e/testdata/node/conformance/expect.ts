// What the stories say of values: that they fit a shape. The first place where
// one does not ends its story, and names what was looked at, what was expected
// there and what came.

/** A mismatch, told in one sentence. */
export class Unexpected extends Error {}

/** A rule for a value, with the words that a mismatch is told in. */
type Rule = { is: string; holds: (value: unknown) => boolean };

function rule(is: string, holds: (value: unknown) => boolean): Rule {
  return Object.freeze({ is, holds });
}

function isRule(expected: unknown): expected is Rule {
  return typeof expected === "object" && expected !== null && "holds" in expected;
}

const hour = 3_600_000;

/** A Date that the SDK decoded, of this hour. */
export const recent = rule("a Date of this hour", (v) => v instanceof Date && Math.abs(Date.now() - v.getTime()) < hour);

/** A Date of the next hour, such as that of a retry. */
export const soon = rule("a Date within an hour from now", (v) => v instanceof Date && v.getTime() > Date.now() - 60_000 && v.getTime() < Date.now() + hour);

/** Text that says something. */
export const text = rule("a text that is not empty", (v) => typeof v === "string" && v !== "");

/** A count or a duration. */
export const natural = rule("a whole number", (v) => Number.isInteger(v) && (v as number) >= 0);

/** Whatever it is. */
export const anything = rule("anything", () => true);

/** Text of a form. */
export function like(form: RegExp): Rule {
  return rule(`a text like ${form}`, (v) => typeof v === "string" && form.test(v));
}

/** An id: its prefix and 27 characters. */
export function id(prefix: string): Rule {
  return like(new RegExp(`^${prefix}_[0-9A-Za-z]{27}$`));
}

/** Anything but this. */
export function not(other: unknown): Rule {
  return rule(`anything but ${show(other)}`, (v) => differs(v, other, "") !== "");
}

/**
 * An object that has these properties, and maybe others. Shapes that are plain
 * objects are exact: a property more is as wrong as one that is missing, and
 * null is not undefined.
 */
export function having(some: Record<string, unknown>): Rule {
  return rule(show(some), (v) => typeof v === "object" && v !== null &&
    Object.keys(some).every((key) => differs((v as Record<string, unknown>)[key], some[key], "") === ""));
}

/** Fails unless a value fits a shape. */
export function fits(what: string, came: unknown, expected: unknown): void {
  const difference = differs(came, expected, "");
  if (difference !== "") throw new Unexpected(`${what}${difference}`);
}

/** Where and how a value differs; "" when it does not. */
function differs(came: unknown, expected: unknown, path: string): string {
  const wrong = `${path}: expected ${show(expected)}, came ${show(came)}`;
  if (isRule(expected)) return expected.holds(came) ? "" : wrong;
  if (expected instanceof Date) return came instanceof Date && came.getTime() === expected.getTime() ? "" : wrong;
  if (typeof expected !== "object" || expected === null) return Object.is(came, expected) ? "" : wrong;
  if (typeof came !== "object" || came === null || Array.isArray(came) !== Array.isArray(expected)) return wrong;
  const left = came as Record<string, unknown>, right = expected as Record<string, unknown>;
  const keys = new Set([...Object.keys(left), ...Object.keys(right)]);
  for (const key of keys) {
    if (!(key in left) || !(key in right)) return wrong;
    const difference = differs(left[key], right[key], `${path}.${key}`);
    if (difference !== "") return difference;
  }
  return "";
}

/** A value for a reader. */
export function show(value: unknown): string {
  const said = JSON.stringify(value, (_, part) => {
    if (isRule(part)) return `<${part.is}>`;
    return part === undefined ? "<undefined>" : part;
  });
  return said === undefined ? String(value) : said.length > 1500 ? `${said.slice(0, 1500)}...` : said;
}

/** Looks until something is there, for twenty seconds. */
export async function until<T>(what: string, look: () => Promise<T | undefined>): Promise<T> {
  const end = Date.now() + 20_000;
  for (;;) {
    const found = await look();
    if (found !== undefined) return found;
    if (Date.now() > end) throw new Unexpected(`${what}: expected within 20 s, did not come`);
    await new Promise((wait) => setTimeout(wait, 20));
  }
}
