"use strict";
/** What a label rests on: exemplars with box and heat map, candidates with their scores and generated pictures. */
(() => {
  const { html, useState } = htmPreact;
  const looks = { box: true, heat: false }; // kept from unit to unit

  /** Where a box of the image lies in its square cell, in percent. */
  function placed(size, [x0, y0, x1, y1]) {
    const longest = Math.max(...size),
      share = (value) => `${(100 * value) / longest}%`;
    const left = (longest - size[0]) / 2,
      top = (longest - size[1]) / 2;
    return { left: share(left + x0), top: share(top + y0), width: share(x1 - x0), height: share(y1 - y0) };
  }

  /** A cell of a sheet of known size, stretched over its place. */
  function stretched(sheet, { columns, count }, cell) {
    const rows = Math.max(1, Math.ceil(count / columns)),
      at = (n, all) => `${all > 1 ? (100 * n) / (all - 1) : 0}%`;
    return {
      backgroundImage: `url("${sheet}")`,
      backgroundSize: `${100 * columns}% ${100 * rows}%`,
      backgroundPosition: `${at(cell % columns, columns)} ${at(Math.floor(cell / columns), rows)}`,
    };
  }

  function Tile({ layer, row, block, one, rank, box, heat, facet, large, open }) {
    const words = `Exemplar ${rank + 1}${one.caption ? `: ${one.caption}`
      : ""}; activation ${dnd.fixed(one.activation)}${box && one.box ? "; its crop is outlined" : ""}${heat
        && one.heat !== null ? "; heat map over it" : ""}`;
    const picture = html`<span class="tile" role="img" aria-label=${words}>
      ${one.cell === null ? html`<span class="gone">picture not kept</span>`
        : html`<${dnd.Cell} sheet=${layer.sheet(row, "exemplars")} columns=${block.exemplars.columns}
          cell=${one.cell} />`}
      ${heat && one.heat !== null && html`<span class="heat"
        style=${{ ...placed(one.size, one.heat_box ?? [0, 0, ...one.size]),
          ...stretched(layer.sheet(row, "heat"), block.heat, one.heat) }} />`}
      ${box && one.box && html`<span class="box" style=${placed(one.size, one.box)} />`}
      ${facet >= 0 && html`<span class=${`badge f${facet}`}>${"ABCDEF"[facet] ?? "·"}</span>`}</span>`;
    return html`<li class=${large ? "large" : ""}>
      <button type="button" class="open" aria-expanded=${String(large)}
        title=${large ? "Make it small" : "Make it large"} onClick=${open}>${picture}</button>
      <p class="caption">${one.caption ? html`<bdi>${one.caption}</bdi>` : html`<span class="faint">no caption</span>`}
        </p>
      <p class="faint number" title=${one.id}>${dnd.fixed(one.activation)}
        ${large && html` · <bdi>${one.id}</bdi> · ${one.size.join(" × ")}`}</p></li>`;
  }

  dnd.Exemplars = ({ layer, row, unit, block }) => {
    const [shown, setShown] = useState(looks),
      [large, setLarge] = useState(null);
    const toggle = (name) => setShown((last) => Object.assign(looks, { ...last, [name]: !last[name] }) && { ...looks });
    dnd.useKeys((event) => {
      if (event.key === "b") toggle("box");
      if (event.key === "h") toggle("heat");
    });
    const facetOf = (rank) =>
      unit.facets.length > 1 ? unit.facets.findIndex((one) => one.exemplars.includes(rank)) : -1;
    const boxes = unit.exemplars.some((one) => one.box),
      heats = unit.exemplars.some((one) => one.heat !== null);
    const button = (
      name,
      words,
      key,
      possible,
    ) => html`<button type="button" aria-pressed=${String(shown[name])} aria-keyshortcuts=${key} disabled=${!possible}
      title=${possible ? `${words} (key ${key})` : "none was kept"} onClick=${() => toggle(name)}>
        ${words} <kbd aria-hidden="true">${key}</kbd></button>`;
    return html`<section class="exemplars-part"><div class="part-head"><h2><${dnd.Term} name="exemplar">Exemplars
      <//> <span class="tally">${unit.exemplars.length || "none"}</span></h2>
        ${unit.exemplars.length > 0 && html`<span class="switches" role="group" aria-label="Shown over the exemplars">
          ${button("box", "crop box", "b", boxes)}${button("heat", "heat map", "h", heats)}</span>`}</div>
      ${
        unit.exemplars.length === 0
          ? html`<p class="faint">No image of the probe excites this unit.</p>`
          : html`<p class="hint">The images of the probe that excite it most, best first, with what a <${dnd.Term}
            name="caption">captioning<//> model says of the <${dnd.Term} name="attention crop">crop
              <//> and the activation.</p>
        <ol class=${`exemplars ${unit.exemplars.length > 12 ? "many" : ""}`}>${unit.exemplars.map(
          (
            one,
            rank,
          ) => html`<${Tile} key=${`${unit.unit}/${rank}`}
            ...${{ layer, row, block, one, rank, ...shown, facet: facetOf(rank),
              large: large === `${unit.unit}/${rank}` }}
          open=${() => setLarge(large === `${unit.unit}/${rank}` ? null : `${unit.unit}/${rank}`)} />`,
        )}</ol>`
      }</section>`;
  };

  // Components of a score: name in the data, in words, ends of its axis (of all candidates where null), and whether
  // less is better.
  const COMPONENTS = [
    ["auc", "AUC", 0, 1],
    ["mad", "MAD", 0, null],
    ["rank_score", "rank score", 0, null, true],
    ["image_similarity", "similarity", 0, 1],
    ["correlation", "correlation", 0, 1],
    ["precision", "precision", 0, 1],
    ["drawn", "drawn", 0, 1],
    ["votes", "votes", 0, null],
  ];

  function Components({ candidate, all }) {
    const shown = COMPONENTS.filter(([name]) => all.some((one) => one[name] !== null && one[name] !== undefined));
    if (!shown.length) return null;
    return html`<dl class="components">${shown.map(([name, words, low, high, falling]) => {
      const values = all.map((one) => one[name]).filter((one) => one !== null && one !== undefined),
        value = candidate[name] ?? null;
      const best = all.length > 1 && value === (falling ? Math.min(...values) : Math.max(...values));
      return html`<div key=${name} class=${best ? "best" : ""} title=${falling ? "lower is better" : undefined}><dt>
        <${dnd.Term} name=${name.replace("_", " ")}>${words}<//>
          ${falling && html`<span class="less" aria-label="lower is better"> ↓</span>`}</dt>
        <dd>${value === null ? html`<span class="faint">–</span>`
          : html`<${dnd.Bar} value=${value} low=${Math.min(low, ...values)} high=${high ?? Math.max(...values, 1e-9)} />
            <span class="number">${dnd.fixed(value, name === "votes" || name === "rank_score" ? 0 : 2)}</span>`}</dd>
              </div>`;
    })}</dl>`;
  }

  function Drawn({ layer, row, block, candidate }) {
    if (!candidate.pictures.length) return null;
    const drawn = [...candidate.pictures].sort((a, b) => (b[1] ?? -Infinity) - (a[1] ?? -Infinity));
    return html`<ol class="drawn" aria-label=${`Pictures generated for “${candidate.concept}”, most activating first`}>
      ${drawn.map(
      ([cell, activation], at) => html`<li key=${at}>
      <${dnd.Cell} sheet=${layer.sheet(row, "drawn")} columns=${block.drawn.columns} cell=${cell}
        label=${`Picture ${at + 1} generated for ${candidate.concept}; activation ${dnd.fixed(activation)}`} />
          <span class="number">${dnd.fixed(activation)}</span></li>`,
    )}</ol>`;
  }

  dnd.Candidates = ({ layer, row, unit, block }) => {
    const all = unit.candidates,
      scores = all.map((one) => one.score).filter((one) => one !== null);
    const high = Math.max(...scores,
      Math.min(...scores) + 1e-9); // scores are logarithms: the worst is near the left end
    const low = Math.min(0, Math.min(...scores) - 0.1 * (high - Math.min(...scores)));
    const drawn = all.some((one) => one.pictures.length);
    return html`<section class="candidates-part"><div class="part-head"><h2><${dnd.Term} name="candidate concept">
      Candidates<//> <span class="tally">${all.length || "none"}</span></h2></div>
      ${
        all.length === 0
          ? html`<p class="faint">No concept was proposed for this unit.</p>`
          : html`<p class="hint">What it may respond to, best <${dnd.Term} name="score">score<//> first
            ${drawn && html`; each was <${dnd.Term} name="generated image">drawn
              <//> to see whether the pictures excite the unit, which are ordered by the activation below them`}.</p>`
      }
      <ol class="candidates">${all.map(
        (one, at) => html`<li key=${at} class=${one.chosen ? "chosen" : ""}>
        <div class="concept"><span class="rank" aria-hidden="true">${at + 1}</span><h3><bdi>${one.concept}</bdi></h3>
          ${one.chosen && html`<span class="tag strong">
            ${one.concept === layer.labelOf(row) ? "the label" : "in the label"}</span>`}
          <span class="soft source"><${dnd.Term} name="source">from<//> <bdi>${one.source}</bdi></span>
          ${at === 0 && layer.unsaidOf(row) !== null && html`<span class="tag">not said</span>`}
          ${one.score !== null && html`<span class="score"><${dnd.Bar} value=${one.score} low=${low} from=${low}
            high=${high} /><span class="number"><span class="unseen">score </span>${dnd.fixed(one.score)}</span>
              </span>`}</div>
        <${Components} candidate=${one} all=${all} />
        <${Drawn} ...${{ layer, row, block, candidate: one }} /></li>`,
      )}</ol></section>`;
  };
})();
