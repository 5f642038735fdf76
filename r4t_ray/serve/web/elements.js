"use strict";

// Every text of a catalogue, a server or an address enters the page as a text node: nothing is parsed as HTML.

const find = (id) => document.getElementById(id);

/** An element with attributes, a listener `onclick`, and children: elements, texts, lists of them, or null for none. */
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  if (tag === "button") element.type = "button";
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "onclick") element.addEventListener("click", value);
    else if (typeof value === "boolean") element.toggleAttribute(name, value);
    else element.setAttribute(name, value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null));
  return element;
}

/** A list of terms with their descriptions: [[term, description or element], ...]. */
function definitions(pairs) {
  return make("dl", {}, pairs.map(([term, text]) => [make("dt", {}, term), make("dd", { dir: "auto" }, text)]));
}

const counted = (number, noun) => `${number.toLocaleString("en")} ${noun}${number === 1 ? "" : "s"}`;
