// The answer to one picture: what it is, how sure, what else it could be, why, and what to say when it is wrong.
import { CORRECTING, Failure, ask, send } from "./asking.js";
import { listed, make, percent, quoted, say, t, told } from "./words.js";

const FIRST_SCORES = 5;
const FEW_CLASSES = 8; // that each get a button for a correction
const SURE = 0.8;

export const best = (item) => item.result.predictions[0];

// All classes: the server tells them with every answer, of more than a hundred only the best; a page behind a key does not know them before.
export const classesOf = (item) => (told.classes.length ? told.classes : item.result.predictions.map(({ label }) => label));

export function isDoubtful(item) {
  const { none_of_these: none, set } = item.result;
  return none === true || (set !== undefined && set.length !== 1) || best(item).score < SURE;
}

export function answerOf(item) {
  return item.result.none_of_these ? t("none") : best(item).label;
}

export function spoken(item) {
  if (item.failure) return `${item.name}: ${item.failure.text}`;
  if (item.result.none_of_these) return t("said_plain", { name: item.name, answer: t("none") });
  return t("said", { name: item.name, answer: best(item).label, percent: percent(best(item).score) });
}

// Draw the answer to a picture in place of the one before. `again` asks about the picture once more.
export function draw(item, again) {
  const said = make("div", { class: "said" });
  const redraw = () => draw(item, again);
  const parts = item.failure ? failed(item, again) : item.result ? answered(item, redraw) : [make("p", { class: "wait" }, t("asking"))];
  said.append(make("p", { class: "small", title: item.name }, item.name), ...parts);
  const place = document.getElementById("answer");
  place.dataset.state = item.failure ? "failed" : item.result ? "done" : "asking";
  place.replaceChildren(shot(item, redraw), said);
}

function shot(item, redraw) {
  const shown = item.result?.explanation && item.heat ? item.result.explanation : null;
  const alt = shown ? t("heat_alt", { name: item.name, label: quoted(shown.label) }) : t("picture_of", { name: item.name });
  const figure = make("figure", { class: "shot" });
  const gone = () => image.replaceWith(make("div", { class: "gone" }, t("preview")));
  const image = make("img", { src: shown ? shown.image : item.url, alt, error: gone });
  figure.append(image);
  if (item.result?.explanation) figure.append(heatSwitch(item, figure, redraw));
  if (shown) figure.append(speaks(item, redraw));
  if (shown) figure.append(make("figcaption", {}, t(shown.exact ? "heat_exact" : "heat_about", { label: quoted(shown.label) })));
  return figure;
}

function heatSwitch(item, figure, redraw) {
  const button = (heat, key) =>
    make("button", { type: "button", "aria-pressed": String(item.heat === heat), click: () => turn(heat) }, t(key));
  const turn = (heat) => {
    item.heat = heat;
    const next = shot(item, redraw);
    figure.replaceWith(next);
    next.querySelectorAll(".switch button")[heat ? 0 : 1].focus();
  };
  return make("div", { class: "switch" }, button(true, "heat"), button(false, "plain"));
}

function failed(item, again) {
  const details = item.failure.details && make("details", {}, make("summary", {}, t("details")), make("code", {}, item.failure.details));
  const retry = make("button", { type: "button", click: () => again(item) }, t("again"));
  const fault = make("p", { class: "fault" }, item.failure.text);
  return [make("h2", { class: "not", tabindex: -1 }, t("error")), fault, details || "", make("p", { class: "deeds" }, retry)];
}

function answered(item, redraw) {
  const { result } = item;
  const deeds = make("div", { class: "deeds" });
  if (!result.explanation) deeds.append(whyButton(item, redraw));
  if (told.corrections && !told.full && !item.corrected) deeds.append(wrongButton(item, redraw));
  const parts = [...headline(item), bars(item, redraw), deeds];
  if (item.corrected) parts.push(make("p", { class: "panel", role: "note" }, t("wrong_kept", { label: quoted(item.corrected) })));
  else if (item.correcting) parts.push(correction(item, redraw));
  if (item.whyFailed) parts.push(make("p", { class: "fault" }, item.whyFailed.text));
  if (result.nearest?.length) parts.push(make("section", { class: "panel" }, make("h3", {}, t("nearest")), likenesses(result.nearest)));
  return parts;
}

function headline(item) {
  const { none_of_these: none, set } = item.result;
  const { label, score } = best(item);
  if (none) {
    const says = make("p", { class: "not-says" }, t("none_says", { label: quoted(label) }));
    return [make("h2", { class: "not", tabindex: -1 }, t("none")), says];
  }
  const parts = [make("h2", { tabindex: -1 }, label, " ", make("span", { class: "percent" }, percent(score)))];
  if (set) {
    const one = score < SURE ? "could_low" : "could_only";
    const key = set.length > 1 ? "could_be" : set.length ? one : "could_none";
    parts.push(make("p", { class: "set" }, t(key, { names: listed(set) })));
  }
  return parts;
}

function bars(item, redraw) {
  const all = item.result.predictions;
  const shown = item.allScores ? all : all.slice(0, FIRST_SCORES);
  const list = make("ol", { class: item.result.none_of_these ? "bars unknown" : "bars", "aria-label": t("scores") });
  shown.forEach(({ label, score }, place) => {
    const bar = make("i");
    bar.style.width = `${100 * score}%`;
    const number = make("span", { class: "number" }, percent(score));
    list.append(make("li", { class: place ? "" : "first" }, make("span", {}, label), number, make("span", { class: "rail" }, bar)));
  });
  if (shown.length === all.length) return list;
  const more = () => redraw((item.allScores = true));
  return make("div", {}, list, make("button", { class: "link", type: "button", click: more }, t("all_scores", { count: all.length })));
}

// ---- why -----------------------------------------------------------------------------------------------------

function whyButton(item, redraw) {
  const button = make("button", { type: "button", click: () => explain(item, "true", redraw, button) }, t("why"));
  return button;
}

async function explain(item, label, redraw, control) {
  control.disabled = true;
  say(t("explaining"));
  if (control.tagName === "BUTTON") control.textContent = t("explaining");
  try {
    const { explanation, nearest } = await ask(item.file, label);
    Object.assign(item.result, { explanation, nearest });
    item.heat = Boolean(explanation);
    item.whyFailed = explanation ? null : new Failure("unexplained");
    say(explanation ? t("heat_alt", { name: item.name, label: quoted(explanation.label) }) : item.whyFailed.text);
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    item.whyFailed = error;
    say(error.text);
  }
  redraw();
  (document.getElementById("speaks") ?? document.querySelector(".said h2"))?.focus();
}

// Choose which class the heat map is about.
function speaks(item, redraw) {
  const { explanation, predictions } = item.result;
  const labels = [...new Set([explanation.label, ...predictions.slice(0, FIRST_SCORES).map((one) => one.label)])];
  const options = labels.map((label) => make("option", { value: label, selected: label === explanation.label }, label));
  const select = make("select", { id: "speaks", change: () => explain(item, select.value, redraw, select) }, options);
  return make("p", { class: "speaks" }, make("label", { for: "speaks" }, t("speaks")), select);
}

function likenesses(nearest) {
  return make(
    "ul",
    { class: "alike" },
    nearest.map(({ label, name, similarity, image }) => {
      const picture = make("img", { src: image, alt: t("nearest_alt", { name, label: quoted(label) }), title: name });
      const alike = make("span", { class: "small" }, t("alike", { percent: percent(Math.max(similarity, 0)) }));
      return make("li", {}, picture, make("span", {}, label), make("br"), alike);
    }),
  );
}

// ---- corrections ----------------------------------------------------------------------------------------------

function wrongButton(item, redraw) {
  const toggle = () => {
    item.correcting = !item.correcting;
    redraw();
    document.querySelector(item.correcting ? ".form input, .form button" : ".deeds [aria-expanded]")?.focus();
  };
  return make("button", { type: "button", "aria-expanded": String(Boolean(item.correcting)), click: toggle }, t("wrong"));
}

function correction(item, redraw) {
  const fault = make("p", { class: "fault", role: "alert", hidden: true });
  const field = make("input", { id: "right", list: "classes", autocomplete: "off", maxlength: 200 });
  const classes = classesOf(item);
  const others = classes.filter((label) => label !== best(item).label || item.result.none_of_these);
  const few = classes.length <= FEW_CLASSES;
  const keep = async (label) => {
    fault.hidden = true;
    try {
      await correct(item, label.trim());
      redraw();
      document.querySelector(".said h2")?.focus();
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      Object.assign(fault, { textContent: error.text, hidden: false });
    }
  };
  const submit = (event) => {
    event.preventDefault();
    keep(field.value);
  };
  const buttons = others.map((label) => make("button", { type: "button", click: () => keep(label) }, label));
  const names = make("datalist", { id: "classes" }, few ? [] : others.map((label) => make("option", { value: label })));
  const deeds = make("div", { class: "choices" }, make("button", { class: "main", type: "submit" }, t("wrong_keep")));
  return make(
    "form",
    { class: "panel form", submit },
    make("h3", {}, t("wrong_ask")),
    few ? make("div", { class: "choices" }, buttons) : "",
    make("label", { for: "right" }, t("wrong_other")),
    field,
    names,
    make("p", { class: "hint" }, t("wrong_note")),
    deeds,
    fault,
  );
}

async function correct(item, label) {
  if (!label) throw new Failure("wrong_empty");
  const form = new FormData();
  form.append("file", item.file, item.name);
  const { kept, full } = await send(`corrections?label=${encodeURIComponent(label)}`, form, CORRECTING);
  item.corrected = label;
  item.correcting = false;
  told.facts.kept = kept;
  told.full = full;
  sayCollected();
  say(t("wrong_kept", { label: quoted(label) }));
}

export function sayCollected() {
  const place = document.getElementById("collected");
  if (place) place.textContent = t(told.full ? "full" : "collected");
}
