
// Filters: rows of conditions that are joined by "and". A condition is [attribute, kind, ...texts].

const KINDS = { is: "is", in: "one of", range: "between", exists: "has a value" };
/** Kind -> labels of the fields for its texts. */
const LABELS = { is: ["Value"], in: ["Values, separated by commas"], range: ["From", "To"], exists: [] };

/** The values that a text may stand for: "5" the number 5 and the text "5". An attribute's type is not known here. */
function valuesOf(text) {
  const values = [text];
  if (Number.isFinite(Number(text))) values.push(Number(text));
  if (text === "true" || text === "false") values.push(text === "true");
  return values;
}

function oneOf(attribute, texts) {
  const values = texts.map((text) => text.trim()).filter(Boolean).flatMap(valuesOf);
  if (values.length < 2) return values.length ? { eq: [attribute, values[0]] } : null;
  return { in: [attribute, values] };
}

/** Bounds that all read as numbers stand for numbers and for texts that begin with a digit; others for texts. */
function between(attribute, texts) {
  const stated = Object.entries({ gte: texts[0].trim(), lte: texts[1].trim() }).filter(([, text]) => text);
  if (!stated.length) return null;
  const bounds = Object.fromEntries(stated);
  if (!stated.every(([, text]) => Number.isFinite(Number(text)))) return { range: [attribute, bounds] };
  const numbers = Object.fromEntries(stated.map(([name, text]) => [name, Number(text)]));
  const digits = { ...(bounds.gte ? {} : { gte: "0" }), ...(bounds.lte ? {} : { lt: ":" }) }; // ":" follows "9"
  return { or: [{ range: [attribute, numbers] }, { range: [attribute, { ...digits, ...bounds }] }] };
}

/** The filter of a row, or null if its values are empty. */
function conditionFilter([attribute, kind, ...texts]) {
  if (kind === "exists") return { exists: attribute };
  if (kind === "range") return between(attribute, texts);
  return oneOf(attribute, kind === "in" ? texts[0].split(",") : texts);
}

/** The filter of all rows, or null. */
function filterOf(rows, reach) {
  const parts = rows.map(conditionFilter).filter(Boolean);
  if (!parts.length) return null;
  const all = parts.length === 1 ? parts[0] : { and: parts };
  return reach === "any" ? { any: all } : all;
}

/** A condition from the text of an address, or null. */
function readCondition(text) {
  try {
    const row = JSON.parse(text);
    const size = 2 + LABELS[row[1]].length;
    return row.length === size && row.every((part) => typeof part === "string") ? row : null;
  } catch {
    return null;
  }
}

/** Attribute -> values that answers have shown, which a field suggests. */
const seen = new Map();
const MAX_SUGGESTED = 200;

function noteValues(attributes) {
  for (const [name, value] of Object.entries(attributes)) {
    const values = seen.get(name) ?? seen.set(name, new Set()).get(name);
    for (const one of [value].flat()) {
      if (one !== null && typeof one !== "object" && values.size < MAX_SUGGESTED) values.add(`${one}`);
    }
  }
}

/** Puts the values of an attribute into the list that its field suggests. */
function suggest(list, attribute) {
  const values = [...(seen.get(attribute) ?? [])].sort();
  list.replaceChildren(...values.map((value) => make("option", { value })));
}

let numRows = 0;

/** A row of the form for one condition. `changed` is called when it is removed. */
function conditionRow(names, [attribute, kind, ...texts], changed) {
  const number = ++numRows;
  const list = make("datalist", { id: `values-${number}` });
  const attributes = make("select", { "aria-label": "Attribute" }, [...new Set([...names, attribute])].map(
    (name) => make("option", { value: name }, name)));
  const kinds = make("select", { "aria-label": "Condition" }, Object.entries(KINDS).map(
    ([value, name]) => make("option", { value }, name)));
  [attributes.value, kinds.value] = [attribute, kind];
  const fields = make("span", { class: "values" });
  const row = make("li", {}, attributes, kinds, fields, list);
  const show = (values) => {
    const labels = LABELS[kinds.value];
    fields.replaceChildren(...labels.map((label) => make("input",
      { "aria-label": label, placeholder: label, type: "text", autocomplete: "off", list: list.id })));
    values.slice(0, labels.length).forEach((value, at) => (fields.children[at].value = value));
  };
  kinds.addEventListener("change", () => show([...fields.children].map((field) => field.value)));
  row.addEventListener("focusin", () => suggest(list, attributes.value));
  const remove = () => {
    row.remove();
    changed();
  };
  row.append(make("button", { "aria-label": "Remove this filter", onclick: remove }, "\u00d7"));
  row.condition = () => [attributes.value, kinds.value, ...[...fields.children].map((field) => field.value)];
  show(texts);
  return row;
}
