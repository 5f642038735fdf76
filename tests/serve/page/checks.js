// Checks of a page by themselves, as an axe would do them. Both give the elements that fail.

/** Elements whose own text has less contrast to their background than 4.5 to 1. */
function lowContrast() {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgba = (colour) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const linear = (part) => (part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
  const luminance = (colour) => {
    const [red, green, blue] = rgba(colour).map((part) => linear(part / 255));
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const background = (element) => {
    const colour = getComputedStyle(element).backgroundColor;
    return rgba(colour)[3] === 255 ? colour : background(element.parentElement);
  };
  const hasText = (element) => element.matches("input") ||
    [...element.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.textContent.trim());
  return [...document.querySelectorAll("body *:not(script, option)")]
    .filter((element) => hasText(element) && element.checkVisibility())
    .filter((element) => {
      const [dark, light] = [getComputedStyle(element).color, background(element)].map(luminance).sort((x, y) => x - y);
      return (light + 0.05) / (dark + 0.05) < 4.5;
    })
    .map((element) => element.outerHTML);
}

/** Controls without a name for a screen reader. */
function unnamed() {
  const isNamed = (element) => element.labels?.length || element.getAttribute("aria-label") ||
    (element.matches("button, summary") && element.textContent.trim());
  return [...document.querySelectorAll("input, select, textarea, button, summary, meter:not([aria-hidden])")]
    .filter((element) => element.checkVisibility() && !isNamed(element))
    .map((element) => element.outerHTML);
}

/** Ids that occur twice. */
function repeatedIds() {
  const ids = [...document.querySelectorAll("[id]")].map(({ id }) => id);
  return ids.filter((id, at) => ids.indexOf(id) < at);
}
