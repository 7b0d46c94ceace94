// The page of a served model: pictures in, answers out. Plain modules, nothing from anywhere else.
import { draw, sayCollected, spoken } from "./answer.js";
import { Failure, Queue, ask } from "./asking.js";
import { drawBatch, markRow, summary, updateRow } from "./batch.js";
import { takeIn } from "./intake.js";
import { language, say, speak, t } from "./words.js";

const work = document.getElementById("work");
const items = [];
let current = null;

const queue = new Queue(async (item) => {
  try {
    item.result = await ask(item.file);
    document.querySelector(".key")?.setAttribute("hidden", "");
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    item.failure = error;
    if (error.kind === "key") document.querySelector(".key")?.removeAttribute("hidden");
  }
  show(item);
});

function take(files) {
  const added = files.map((file) => ({ file, name: file.webkitRelativePath || file.name, url: URL.createObjectURL(file) }));
  if (!added.length) return;
  document.body.classList.add("busy");
  work.hidden = false;
  items.push(...added);
  drawBatch(items, open, clear);
  choose(added[0]);
  say(t("asking"));
  queue.add(added);
}

function show(item) {
  if (!items.includes(item)) return; // all was cleared meanwhile
  updateRow(item, items, open);
  if (item === current) draw(item, again);
  const left = items.filter((one) => !one.result && !one.failure).length;
  if (items.length === 1) say(spoken(item));
  else if (!left) say(summary(items));
}

function choose(item) {
  if (current) current.chosen = false;
  current = item;
  item.chosen = true;
  markRow(item);
  draw(item, again);
}

function open(item) {
  choose(item);
  const title = document.querySelector("#answer h2");
  title?.focus({ preventScroll: true });
  document.getElementById("answer").scrollIntoView({ block: "nearest" });
}

function again(item) {
  item.failure = null;
  draw(item, again);
  updateRow(item, items, open);
  queue.add([item]);
}

function clear() {
  queue.clear();
  for (const item of items) URL.revokeObjectURL(item.url);
  items.length = 0;
  current = null;
  document.getElementById("answer").replaceChildren();
  drawBatch(items, open, clear);
  document.body.classList.remove("busy");
  work.hidden = true;
  say("");
  document.getElementById("choose").focus();
}

document.getElementById("language").addEventListener("click", (event) => {
  event.preventDefault();
  speak(language() === "zh" ? "en" : "zh");
  sayCollected();
  if (!current) return;
  drawBatch(items, open, clear);
  draw(current, again);
});

takeIn(take);
document.documentElement.dataset.ready = "true";
