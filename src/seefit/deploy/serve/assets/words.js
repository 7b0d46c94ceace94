// The sentences of the page in the language that is shown, and small pieces of it. What the server knows is in #told.
export const told = JSON.parse(document.getElementById("told").textContent);
let lang = document.documentElement.lang.startsWith("zh") ? "zh" : "en";

export function language() {
  return lang;
}

export function t(key, values = {}) {
  const filled = { ...told.facts, ...told.shown[lang], ...values };
  return told.words[lang][key].replace(/\{(\w+)\}/g, (_, name) => String(filled[name]));
}

// Show the page itself in a language; what is drawn from answers is drawn again by whoever calls.
export function speak(next) {
  lang = next;
  document.documentElement.lang = told.words[lang].tag;
  for (const element of document.querySelectorAll("[data-t]")) element.textContent = t(element.dataset.t);
  const other = lang === "zh" ? "en" : "zh";
  const link = document.getElementById("language");
  Object.assign(link, { href: `?lang=${other}`, hreflang: other, lang: other, textContent: told.words[other].own_name });
  history.replaceState(null, "", `?lang=${lang}`);
}

// Write a score in percent, never as none or all.
export function percent(share, digits = 0) {
  if (share > 0.995 && digits === 0) return t("over", { number: 99 });
  if (share < 0.005 && digits === 0) return t("under", { number: 1 });
  return t("percent", { number: (100 * share).toFixed(digits) });
}

export function quoted(name) {
  return t("quoted", { name });
}

export function listed(names) {
  const all = names.map(quoted);
  return all.length < 2 ? all.join("") : all.slice(0, -1).join(t("comma")) + t("or") + all.at(-1);
}

// Make an element: make("p", { class: "small" }, "text", child …). Functions become listeners; text is never read as HTML.
export function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(key, value);
    else if (value === true) element.setAttribute(key, "");
    else if (value !== false && value != null) element.setAttribute(key, value);
  }
  element.append(...children.flat().filter((child) => child != null && child !== false));
  return element;
}

export function say(text) {
  document.getElementById("status").textContent = text;
}
