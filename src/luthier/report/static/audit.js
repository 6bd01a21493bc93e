"use strict";
(() => {
  const bar = document.querySelector(".filter");
  if (!bar) return;
  const search = document.getElementById("search");
  const only = document.getElementById("only");
  const matches = document.getElementById("matches");
  const cards = [...document.querySelectorAll(".card")];
  const texts = cards.map((card) => card.textContent.toLowerCase());
  const apply = () => {
    const wanted = search.value.trim().toLowerCase();
    const filtered = wanted !== "" || only.checked;
    let shown = 0;
    cards.forEach((card, at) => {
      const fits = texts[at].includes(wanted) && (!only.checked || card.classList.contains("flagged"));
      card.classList.toggle("nothing", !fits);
      shown += fits ? 1 : 0;
    });
    for (const group of document.querySelectorAll(".group"))
      group.classList.toggle("nothing", filtered && !group.querySelector(".card:not(.nothing)"));
    for (const later of document.querySelectorAll(".later"))
      if (wanted) later.open = Boolean(later.querySelector(".card:not(.nothing)"));
    matches.textContent = filtered ? shown + " of " + cards.length + " shown" : "";
  };
  bar.hidden = false;
  search.addEventListener("input", apply);
  only.addEventListener("change", apply);
})();
