"use strict";
// Keys for what the page has buttons for; without this script every button still works.
const choices = {
  q: "left-yes", w: "left-no", o: "right-yes", p: "right-no",
  1: "preference-1", 2: "preference-2", 3: "preference-3", 4: "preference-4", 5: "preference-5",
};
const clicks = { u: "undo", t: "text", ArrowLeft: "previous", ArrowRight: "next" };
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || event.repeat) return;
  const at = event.target;
  const writes = at instanceof HTMLTextAreaElement || (at instanceof HTMLInputElement && at.type !== "radio");
  if (writes) return;
  const radio = at instanceof HTMLInputElement;
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  const choice = Object.hasOwn(choices, key) ? document.getElementById(choices[key]) : null;
  if (choice) {
    choice.checked = true;
    choice.focus({ preventScroll: true });
    event.preventDefault();
    return;
  }
  // Arrows move within a group of choices, and scroll code.
  if (key.startsWith("Arrow") && (radio || at instanceof HTMLPreElement)) return;
  if (key === "Enter") {
    const form = document.getElementById("judgment");
    if (form && (at === document.body || (radio && form.contains(at)) || at.id === "main")) {
      form.requestSubmit();
      event.preventDefault();
    }
    return;
  }
  const button = Object.hasOwn(clicks, key) ? document.getElementById(clicks[key]) : null;
  if (button) {
    button.click();
    event.preventDefault();
  }
});
