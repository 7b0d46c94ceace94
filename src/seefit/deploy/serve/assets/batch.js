// Many pictures in a table: sort, filter the doubtful ones, open one, save all as CSV.
import { answerOf, best, classesOf, isDoubtful } from "./answer.js";
import { make, percent, t, told } from "./words.js";

const FILTERS = { all: () => true, doubtful: (item) => item.result && isDoubtful(item), failed: (item) => item.failure };
const ORDERS = {
  name: (item) => item.name,
  answer: (item) => (item.result ? answerOf(item) : "\uffff"),
  score: (item) => (item.result ? best(item).score : 2),
};
const COUNT_DONE = (items) => items.filter((item) => item.result || item.failure).length;

// Up to a hundred classes every score is a column; beyond it the best five, as the server sends them.
const BEST = [1, 2, 3, 4, 5].flatMap((place) => [`top${place}`, `p${place}`]);

// What pictures that the model did not learn from told of such a score.
const WORTH = [
  ...["reliability", "reliability_low", "reliability_high"],
  ...["selective_coverage", "selective_accuracy", "selective_low", "selective_high"],
];

const view = { filter: "all", order: null, down: false };
let rows = new Map(); // of items, made once and changed in place: there may be thousands

// Draw the table anew: in another language, or after a filter or an order was chosen.
export function drawBatch(items, open, clear) {
  const place = document.getElementById("batch");
  place.hidden = items.length < 2;
  document.getElementById("work").classList.toggle("many", items.length > 1);
  rows = new Map();
  if (place.hidden) return place.replaceChildren();
  const redraw = () => drawBatch(items, open, clear);
  const body = make("tbody");
  const head = make("tr", {}, ...["name", "answer", "score"].map((key) => heading(key, redraw)));
  const columns = ["c-name", "c-answer", "c-score"].map((name) => make("col", { class: name }));
  const table = make("table", {}, make("caption", { class: "quiet" }, t("table")), make("colgroup", {}, columns), make("thead", {}, head), body);
  const title = make("h2", { id: "count" });
  place.replaceChildren(title, make("p", { class: "small", id: "summary" }), progress(), tools(items, redraw, clear), table);
  for (const item of ordered(items)) body.append(row(item, open));
  countBatch(items);
}

// Change what the table says of one picture.
export function updateRow(item, items, open) {
  const there = rows.get(item);
  if (there) there.replaceWith(row(item, open));
  countBatch(items);
}

export function markRow(item) {
  for (const [other, there] of rows) there.classList.toggle("chosen", other === item);
}

export function summary(items) {
  const doubtful = items.filter(FILTERS.doubtful).length;
  const failed = items.filter(FILTERS.failed).length;
  return t("summary", { done: items.filter((item) => item.result).length, doubtful, failed });
}

function countBatch(items) {
  const title = document.getElementById("count");
  if (!title) return;
  const done = COUNT_DONE(items);
  title.textContent = t("pictures", { count: items.length });
  document.getElementById("summary").textContent = done < items.length ? t("progress", { done, count: items.length }) : summary(items);
  const bar = document.querySelector(".progress");
  bar.hidden = done === items.length;
  bar.firstChild.style.width = `${(100 * done) / items.length}%`;
  for (const [key, test] of Object.entries(FILTERS)) {
    const button = document.querySelector(`[data-filter="${key}"]`);
    button.textContent = `${t(`filter_${key}`)} ${items.filter(test).length}`;
  }
  const nothing = document.getElementById("nothing");
  nothing.hidden = [...rows.values()].some((there) => !there.hidden);
}

function progress() {
  return make("div", { class: "progress", "aria-hidden": "true" }, make("i"));
}

function ordered(items) {
  if (!view.order) return items;
  const value = ORDERS[view.order];
  const compare = (a, b) => (typeof a === "number" ? a - b : a.localeCompare(b, document.documentElement.lang, { numeric: true }));
  return [...items].sort((a, b) => (view.down ? -1 : 1) * compare(value(a), value(b)));
}

function heading(key, redraw) {
  const sorted = view.order === key;
  const click = () => {
    view.down = sorted && !view.down;
    view.order = key;
    redraw();
    document.querySelector(`[data-order="${key}"]`).focus();
  };
  const button = make("button", { type: "button", "data-order": key, click }, t(key));
  return make("th", { scope: "col", "aria-sort": sorted ? (view.down ? "descending" : "ascending") : "none" }, button);
}

function tools(items, redraw, clear) {
  const filters = Object.keys(FILTERS).map((key) => {
    const click = () => {
      view.filter = key;
      redraw();
      document.querySelector(`[data-filter="${key}"]`).focus();
    };
    return make("button", { type: "button", "data-filter": key, "aria-pressed": String(view.filter === key), click });
  });
  const group = make("div", { class: "switch", role: "group", "aria-label": t("filter") }, filters);
  const save = make("button", { type: "button", click: () => saveCsv(items) }, t("csv"));
  const over = make("button", { type: "button", click: clear }, t("clear"));
  const nothing = make("p", { class: "none-here", id: "nothing", hidden: true }, t("nothing"));
  return make("div", {}, make("div", { class: "tools" }, group, make("div", { class: "end" }, save, over)), nothing);
}

function row(item, open) {
  const gone = () => image.replaceWith(make("span", { class: "blank" }));
  const image = make("img", { src: item.url, alt: "", loading: "lazy", decoding: "async", width: 46, height: 46, error: gone });
  const name = make("button", { class: "open", type: "button", title: item.name, "aria-label": t("open", { name: item.name }) }, item.name);
  const score = item.result && !item.result.none_of_these ? percent(best(item).score) : "";
  const cells = [make("div", { class: "pic" }, image, name), said(item), score].map((content) => make("td", {}, content));
  const there = make("tr", { click: () => open(item), class: item.chosen ? "chosen" : "", hidden: !FILTERS[view.filter](item) }, cells);
  rows.set(item, there);
  return there;
}

function said(item) {
  if (item.failure) return [make("span", { class: "bad" }, t("error"))];
  if (!item.result) return [make("span", { class: "small" }, t("waiting"))];
  const answer = make("span", { class: item.result.none_of_these ? "bad" : "" }, answerOf(item));
  return item.result.none_of_these || !isDoubtful(item) ? [answer] : [answer, make("span", { class: "chip" }, t("doubt"))];
}

// ---- CSV ------------------------------------------------------------------------------------------------------

function saveCsv(items) {
  const url = URL.createObjectURL(new Blob(["\ufeff", toCsv(items)], { type: "text/csv" })); // the mark tells Excel that it is UTF-8
  const link = make("a", { href: url, download: "answers.csv" });
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
}

// The columns of `seefit predict --csv`, and what went wrong.
function toCsv(items) {
  const answered = items.filter((item) => item.result);
  const refuses = answered.some((item) => item.result.unknown !== undefined);
  const sets = answered.some((item) => item.result.set !== undefined);
  const worth = WORTH.filter((key) => answered.some((item) => item.result[key] !== undefined));
  const classes = answered.length && !told.many ? classesOf(answered[0]) : [];
  const header = ["path", "predicted", ...(told.many ? BEST : classes.map((label) => `p:${label}`))];
  header.push(...(refuses ? ["none_of_these", "unknown"] : []), ...(sets ? ["set"] : []), ...worth, "error");
  const lines = items.map((item) => {
    if (!item.result) return [item.name, ...header.slice(2).map(() => ""), item.failure?.text ?? ""];
    const { predictions, none_of_these: none, unknown, set } = item.result;
    const scores = new Map(predictions.map(({ label, score }) => [label, score]));
    const few = classes.map((label) => scores.get(label)?.toFixed(6) ?? "");
    const cells = told.many ? predictions.flatMap(({ label, score }) => [label, score.toFixed(6)]) : few;
    const doubts = [...(refuses ? [none, unknown] : []), ...(sets ? [JSON.stringify(set)] : [])];
    return [item.name, best(item).label, ...cells, ...doubts, ...worth.map((key) => item.result[key]), ""];
  });
  return [header, ...lines].map((line) => line.map(cell).join(",")).join("\r\n") + "\r\n";
}

function cell(value) {
  const text = String(value ?? "");
  return /[,;"\r\n\t]|^[ \ufeff]| $/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
