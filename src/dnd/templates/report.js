"use strict";
(() => {
  const album = JSON.parse(document.getElementById("album").textContent);
  const cards = [...document.querySelectorAll(".card")];
  const sections = [...document.querySelectorAll("section")];
  const words = document.getElementById("words");
  const state = document.getElementById("state");
  const order = document.getElementById("order");
  const lens = document.getElementById("lens");

  // Pictures are decoded when they come near the screen.
  const load = (root) => {
    for (const one of root.querySelectorAll("[data-k]")) {
      const hiding = one.closest("details:not([open])");
      if (hiding && root.contains(hiding)) continue;
      const name = one.localName === "img" ? "src" : "href";
      one.setAttribute(name, "data:image/webp;base64," + album[one.dataset.k]);
      one.removeAttribute("data-k");
    }
  };
  const near = new IntersectionObserver((seen) => {
    for (const one of seen) {
      if (!one.isIntersecting) continue;
      load(one.target);
      near.unobserve(one.target);
    }
  }, { rootMargin: "900px" });
  for (const card of cards) {
    near.observe(card);
    card.querySelector("details")?.addEventListener("toggle", () => load(card));
  }
  addEventListener("beforeprint", () => cards.forEach(load));

  // Exemplars: the cut-out, the whole image with the box, or the heat map on top.
  const frame = (svg, name) => {
    const box = svg.dataset[name];
    const [, , width, height] = box.split(" ").map(Number);
    const longest = Math.max(width, height);
    svg.setAttribute("viewBox", box);
    svg.style.width = 100 * width / longest + "%";
    svg.style.height = 100 * height / longest + "%";
  };
  const tiles = [...document.querySelectorAll(".tile svg")];
  const look = (view) => {
    document.body.dataset.view = view;
    for (const svg of tiles) frame(svg, view === "cut" ? "cut" : "whole");
  };
  for (const one of document.querySelectorAll("[name=view]")) {
    one.addEventListener("change", () => look(one.value));
    if (one.checked) look(one.value);
  }

  // The lens: the whole image with its box, the heat map beside it, caption and activation.
  const paragraph = (text, kind) => {
    const one = document.createElement("p");
    one.className = kind;
    one.textContent = text;
    return one;
  };
  const show = (tile) => {
    const source = tile.querySelector("svg");
    load(tile);
    const pair = document.createElement("div");
    pair.className = "pair";
    for (const kind of source.querySelector(".heat") ? ["marked", "marked heated"] : ["marked"]) {
      const copy = source.cloneNode(true);
      copy.removeAttribute("style");
      copy.setAttribute("viewBox", source.dataset.whole);
      copy.setAttribute("class", kind);
      pair.append(copy);
    }
    const { caption, id, value } = source.dataset;
    lens.replaceChildren(pair, paragraph(caption, "words"), paragraph(`${id} · activation ${value}`, "source"));
    lens.hidden = false;
    place(tile);
  };
  const place = (tile) => {
    const around = tile.getBoundingClientRect(), own = lens.getBoundingClientRect();
    const left = Math.min(Math.max(8, around.left + around.width / 2 - own.width / 2), innerWidth - own.width - 8);
    const below = around.bottom + 8 + own.height < innerHeight;
    lens.style.left = left + "px";
    lens.style.top = Math.max(8, below ? around.bottom + 8 : around.top - own.height - 8) + "px";
  };
  const hide = () => { lens.hidden = true; };
  const tileOf = (event) => event.target instanceof Element ? event.target.closest(".tile") : null;
  document.addEventListener("pointerover", (event) => {
    if (event.pointerType !== "mouse") return;
    const tile = tileOf(event);
    if (tile) show(tile); else hide();
  });
  document.addEventListener("click", (event) => { const tile = tileOf(event); if (tile) show(tile); else hide(); });
  document.addEventListener("focusin", (event) => { const tile = tileOf(event); if (tile?.matches(":focus-visible")) show(tile); else hide(); });
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") hide(); });
  addEventListener("scroll", () => {
    if (lens.hidden) return;
    const tile = document.activeElement;
    if (tile?.matches(".tile:focus-visible")) place(tile); else hide();
  }, { passive: true });

  // Search, states and order.
  const texts = new Map(cards.map((card) => [card, card.textContent.toLowerCase().replace(/\s+/g, " ")]));
  const filter = () => {
    const wanted = words.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const card of cards) {
      const text = texts.get(card);
      const fits = (!state.value || card.dataset.state.split(" ").includes(state.value)) && wanted.every((word) => text.includes(word));
      card.hidden = !fits;
      shown += fits;
    }
    for (const section of sections) section.hidden = !section.querySelector(".card:not([hidden])");
    document.getElementById("none").hidden = shown > 0;
    const all = shown === cards.length;
    document.getElementById("shown").textContent = all ? `${shown} units` : `${shown} of ${cards.length} units`;
  };
  const sort = () => {
    const unit = (card) => Number(card.dataset.unit), sure = (card) => Number(card.dataset.confidence), weight = (card) => Number(card.dataset.importance ?? -1);
    const orders = { unit: () => 0, high: (a, b) => sure(b) - sure(a), low: (a, b) => sure(a) - sure(b), weight: (a, b) => weight(b) - weight(a) };
    for (const grid of document.querySelectorAll(".cards")) {
      grid.append(...[...grid.children].sort((a, b) => orders[order.value](a, b) || unit(a) - unit(b)));
    }
  };
  words.addEventListener("input", filter);
  state.addEventListener("change", filter);
  order.addEventListener("change", sort);
  document.getElementById("filters").addEventListener("submit", (event) => event.preventDefault());
  filter();
  sort();

  // Which layer is on screen.
  const links = new Map([...document.querySelectorAll(".layers a")].map((link) => [link.getAttribute("href").slice(1), link]));
  const current = new IntersectionObserver((seen) => {
    for (const one of seen) {
      const link = links.get(one.target.id);
      if (one.isIntersecting) link?.setAttribute("aria-current", "true"); else link?.removeAttribute("aria-current");
    }
  }, { rootMargin: "-20% 0px -75% 0px" });
  sections.forEach((section) => current.observe(section));
})();
