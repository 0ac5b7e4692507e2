// The box that ticks all boxes of a list; without script there is none.
"use strict";
const all = document.getElementById("choose-all");
if (all) {
  const box = all.querySelector("input");
  const boxes = () => document.querySelectorAll("input[name=id]");
  all.hidden = false;
  box.addEventListener("change", () => boxes().forEach((one) => { one.checked = box.checked; }));
}
