// Asking the server: one picture a request, a few at a time, so that each answer is shown as soon as it is there.
import { told, t } from "./words.js";

const AT_ONCE = 4;
const TRIES = 6; // of a picture while the server is busy
const KINDS = { 400: "broken", 401: "key", 403: "refused", 408: "slow", 413: "large", 415: "kind", 422: "broken", 429: "busy", 503: "busy" };
export const CORRECTING = { ...KINDS, 400: "label", 409: "taken", 507: "full" };

export class Failure extends Error {
  constructor(kind, details = "") {
    super(kind);
    Object.assign(this, { kind, details });
  }

  get text() {
    return t(`error_${this.kind}`);
  }
}

// Send a form; return the JSON of the answer, or throw a Failure in words of the page.
export async function send(path, form, kinds = KINDS, tries = TRIES) {
  const key = document.getElementById("key")?.value;
  let response;
  try {
    response = await fetch(path, { method: "POST", body: form, headers: key ? { Authorization: `Bearer ${key}` } : {} });
  } catch {
    throw new Failure("network");
  }
  if (response.status === 503 && tries > 1) {
    const seconds = Number(response.headers.get("Retry-After")) || 1;
    await new Promise((resolve) => setTimeout(resolve, 1000 * Math.min(seconds, 10)));
    return send(path, form, kinds, tries - 1);
  }
  const body = await response.json().catch(() => ({}));
  if (!response.ok) throw new Failure(kinds[response.status] ?? "unknown", body.error?.message ?? "");
  return body;
}

// Ask about one picture; explain is nothing, true, or the name of a class.
export async function ask(file, explain) {
  if (file.size === 0) throw new Failure("empty");
  if (file.size > told.bytes) throw new Failure("large");
  const form = new FormData();
  form.append("file", file, file.name);
  const body = await send("predict" + (explain ? `?explain=${encodeURIComponent(explain)}` : ""), form);
  const result = body.results[0];
  if (result.error) throw new Failure("broken", result.error.message);
  return result;
}

// Run a task for every item, a few at a time, in the order they come.
export class Queue {
  constructor(task) {
    Object.assign(this, { task, waiting: [], running: 0 });
  }

  add(items) {
    this.waiting.push(...items);
    while (this.running < AT_ONCE && this.waiting.length) this.next();
  }

  async next() {
    this.running += 1;
    while (this.waiting.length) await this.task(this.waiting.shift());
    this.running -= 1;
  }

  clear() {
    this.waiting.length = 0;
  }
}
