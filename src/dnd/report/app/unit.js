"use strict";
/** One unit: what is said of it, and what that rests on. */
(() => {
  const { html, useEffect } = htmPreact;
  const NEAR = 8; // units that are listed as nearest
  const LONG = 80; // letters from which a label is set smaller

  /** The row before or after in the list that the reader came from, else in the layer. */
  function neighbour(layer, row, step) {
    const at = layer.walk?.rows.indexOf(row) ?? -1;
    if (at >= 0) return layer.walk.rows[at + step];
    return row + step >= 0 && row + step < layer.count ? row + step : undefined;
  }

  /** What people call a metric. */
  const titleOf = (run, metric) =>
    run.layers.flatMap((one) => one.figures).find((one) => one.metric === metric)?.title ?? metric.replaceAll("_", " ");

  const listOf = (layer) => layer.walk?.hash ?? dnd.href.layer(layer.key);

  function Steps({ layer, row }) {
    const step = (by, words, sign) => {
      const other = neighbour(layer, row, by);
      return html`<a class="button icon" aria-disabled=${String(other === undefined)} aria-label=${`${words} unit`}
        title=${`${words} unit (${by < 0 ? "←" : "→"})`}
        href=${other === undefined ? undefined : dnd.href.unit(layer.key, layer.unit[other])}>${sign}</a>`;
    };
    const at = layer.walk?.some ? layer.walk.rows.indexOf(row) : -1;
    return html`<nav class="steps" aria-label="Units">
      <a class="button" href=${listOf(layer)} onClick=${(event) => {
        event.preventDefault();
        dnd.go(listOf(layer), { restore: true });
      }}>All units</a>
      ${at >= 0 && html`<span class="faint">${dnd.whole(at + 1)} of ${dnd.whole(layer.walk.rows.length)} found</span>`}
      ${step(-1, "Previous", "‹")}${step(1, "Next", "›")}</nav>`;
  }

  function Head({ layer, row, unit, correct }) {
    const label = layer.labelOf(row),
      code = layer.reasonOf(row),
      kind = layer.kindOf(row),
      truth = layer.truth?.[row],
      unsaid = layer.unsaidOf(row);
    const also = (unit?.labels ?? []).filter((one) => one !== label);
    return html`<header class="unit-head">
      <p class="place"><a href=${listOf(layer)}><bdi>${layer.name}</bdi> / <bdi>${layer.layer}</bdi>
        </a> <span aria-hidden="true">›</span> <${dnd.Term} name="unit">unit<//> <b>${layer.unit[row]}</b></p>
      ${
        label === null
          ? html`<${dnd.Title} kind="silent">Nothing is said of this unit<//>
          <p class="lead"><${dnd.Term} name="abstained">Abstained<//>
            : ${unit?.reason ?? `${dnd.reason(code ?? "no_concept")}.`}</p>
          ${unsaid !== null && html`<p class="unsaid"><span class="soft">Its best candidate, not said:</span> <bdi>
            ${unsaid}</bdi></p>`}`
          : html`<${dnd.Title} kind=${label.length > LONG ? "long" : undefined}><bdi>${label}</bdi><//>`
      }
      <dl class="facts">
        ${!Number.isNaN(layer.explains[row]) && html`<div class="explains"><dt>
          <${dnd.Term} name="explains">explains<//></dt><dd><${dnd.Bar} value=${layer.explains[row]} /> <b>
            ${dnd.sure(layer.explains[row])}</b> <span class="range number" title="95 % interval">
              ${dnd.interval(layer, row)}</span></dd></div>`}
        ${label !== null && !Number.isNaN(layer.confidence[row]) && html`<div><dt>
          <${dnd.Term} name="confidence">confidence<//></dt><dd>
          <${dnd.Bar} value=${layer.confidence[row]} /> <b>${dnd.sure(layer.confidence[row])}</b></dd></div>`}
        ${!Number.isNaN(layer.score[row]) && html`<div><dt><${dnd.Term} name="score">score<//></dt><dd>
          ${dnd.fixed(layer.score[row])}</dd></div>`}
        ${!Number.isNaN(layer.bimodality[row]) && html`<div><dt><${dnd.Term} name="bimodality">bimodality<//></dt><dd>
          ${dnd.fixed(layer.bimodality[row])}</dd></div>`}
        ${layer.importance && !Number.isNaN(layer.importance[row])
          && html`<div><dt><${dnd.Term} name="importance">importance<//></dt><dd>${dnd.fixed(layer.importance[row], 3)}
            </dd></div>`}
        ${kind && html`<div><dt><${dnd.Term} name="known answer">known answer<//></dt><dd>
          ${truth ? html`<bdi>${truth}</bdi>` : "nothing to name"} <span class="faint">${kind}
            </span> <${dnd.Verdict} correct=${correct} words /></dd></div>`}
        ${also.length > 0 && unit.facets.length < 2
          && html`<div><dt>also</dt><dd>${also.map((one, at) => html`${at > 0 && " · "}<bdi>${one}</bdi>`)}</dd></div>`}
      </dl></header>`;
  }

  /** What it responds to, with the share of each. */
  function Why({ facets }) {
    if (facets.length < 2) return null;
    return html`<section class="why"><h2>It responds to several things <${dnd.Term} name="polysemantic">
      <span class="tag">polysemantic</span><//></h2>
      <ul>${facets.map(
        (one, at) => html`<li key=${at}><span class=${`badge f${at}`} aria-hidden="true">${"ABCDEF"[at] ?? "·"}</span>
        <bdi>${one.label}</bdi> <${dnd.Bar} value=${one.share} /> <span class="number"><b>${dnd.percent(one.share)}
          </b> <${dnd.Term} name="share">share<//></span></li>`,
      )}</ul></section>`;
  }

  function Nearest({ layer, row }) {
    const near = dnd.nearest(layer, row, NEAR);
    return html`<section><h2>Nearest units by label</h2>
      ${near.length === 0 && html`<p class="faint">
        ${layer.label[row] < 0 ? "It has no label to compare." : "No other label of this layer shares a word with it."}
          </p>`}
      <ol class="near">${near.map(
        (one) => html`<li key=${one.row}><a href=${dnd.href.unit(layer.key, layer.unit[one.row])}>
        <span class="number">${layer.unit[one.row]}</span> <span class="label"><bdi>${layer.labelOf(one.row)}</bdi>
          </span> <${dnd.Thumbs} layer=${layer} row=${one.row} most=${2} /></a></li>`,
      )}</ol></section>`;
  }

  function Others({ layer, row, run }) {
    const same = run.layers.filter(
      (one) => one.model === layer.model && one.slug === layer.slug && one.name !== layer.name,
    );
    const keys = same.map((one) => `${one.name}/${one.slug}`);
    const { value, error } = dnd.useLoaded(keys.length ? keys.join("\n") : null, () =>
      Promise.all(keys.map((key) => dnd.layer(run, key))),
    );
    if (!same.length) return null;
    const unit = layer.unit[row];
    return html`<section><h2>What others say of it</h2>${error && html`<${dnd.Failure} error=${error} />`}
      <ul class="others">${(value ?? []).map((other) => {
        const place = other.row(unit);
        return html`<li key=${other.key}><span class="soft"><bdi>${other.name}</bdi> · <bdi>
          ${dnd.methodName(other.method)}</bdi></span>
          ${place < 0 ? html`<span class="faint">did not describe this unit</span>`
            : html`<a href=${dnd.href.unit(other.key, unit)}><${dnd.Label} layer=${other} row=${place} /></a>
 <${dnd.Explains} layer=${other} row=${place} />`}
          <a class="soft" href=${dnd.href.compare({ a: layer.key, b: other.key })}>compare all</a></li>`;
      })}</ul></section>`;
  }

  const pairs = (some) =>
    html`<dl class="pairs">${some.map(([name, value], at) =>
      html`<div key=${at}><dt>${name}</dt><dd><bdi>${value}</bdi></dd></div>`)}</dl>`;

  function Provenance({ layer }) {
    return html`<section><h2><${dnd.Term} name="provenance">Provenance<//></h2>
      ${pairs([
        ["network", layer.model],
        ["layer", layer.layer],
        ["probe", layer.probe],
        ["recipe", layer.recipe],
        ["method", dnd.methodName(layer.method)],
      ])}
      ${layer.origin.length > 0 && html`<details><summary>Models, machine, versions</summary>${pairs(layer.origin)}
        </details>`}
      ${layer.settings.length > 0 && html`<details><summary>Settings of the recipe</summary>${pairs(layer.settings)}
        </details>`}
      <p class="soft"><a href="../provenance.json">provenance.json</a> of the whole run</p>
      <p class="actions"><${dnd.Copy} text=${() => location.href}>Copy permalink<//></p><${dnd.Cite} /></section>`;
  }

  function Shown({ layer, row, block, correct, metrics, run }) {
    const unit = block.value?.units.find((one) => one.unit === layer.unit[row]);
    const chosen = unit && (unit.candidates.find((one) => one.chosen) ?? unit.candidates[0]);
    const measured = Object.entries(metrics ?? {}).filter(
      ([, values]) => values[row] !== null && values[row] !== undefined,
    );
    return html`<article class="page unit">
      <${Steps} layer=${layer} row=${row} />
      <${Head} ...${{ layer, row, unit, correct }} />
      ${block.error && html`<${dnd.Failure} error=${block.error}>
        The evidence of this unit is in that file. <a href=${listOf(layer)}>All units</a><//>`}
      ${!block.error && !block.value && html`<${dnd.Waiting} />`}
      ${block.value && !unit && html`<${dnd.Failure}
        error=${new Error("The file of its block does not hold this unit.")} />`}
      <div class="sides">
        <div class="main">${unit && html`<${Why} facets=${unit.facets} />
          <${dnd.Exemplars} ...${{ layer, row, unit, block: block.value }} />
            <${dnd.Candidates} ...${{ layer, row, unit, block: block.value }} />`}</div>
        <aside aria-label="More about this unit">
          ${
            unit &&
            html`<section><h2><${dnd.Term} name="activation">Activations<//></h2>
            <${dnd.Activations} histogram=${unit.histogram} exemplars=${unit.exemplars.map((one) => one.activation)}
              drawn=${chosen?.pictures.map((one) => one[1]) ?? []} name=${chosen?.concept} /></section>`
          }
          ${
            measured.length > 0 &&
            html`<section><h2>Evaluation of its label</h2><dl class="pairs">${measured.map(
              ([name, values]) => html`<div key=${name}>
            <dt><${dnd.Term} name=${name}>${titleOf(run, name)}<//></dt><dd>
              ${dnd.fixed(values[row])}</dd></div>`,
            )}</dl></section>`
          }
          <${Others} ...${{ layer, row, run }} />
          <${Nearest} layer=${layer} row=${row} />
          <${Provenance} layer=${layer} />
        </aside></div></article>`;
  }

  function Found({ layer, evaluation, route, run }) {
    const row = layer.row(route.unit);
    const block = dnd.useLoaded(row < 0 ? null : `${layer.key}/${Math.floor(row / layer.units_per_block)}`, () =>
      layer.block(row),
    );
    useEffect(() => {
      layer.last = row;
      if (row < 0) return;
      const label = layer.labelOf(row);
      document.title = `${layer.unit[row]}: ${label ?? "nothing said"} · ${layer.name}/${layer.layer}`;
      for (const step of [1, -1]) {
        // so that the next one is there at once
        const other = neighbour(layer, row, step);
        if (other !== undefined) layer.block(other).catch(() => {});
      }
    }, [row]);
    dnd.useKeys((event) => {
      if (event.key === "Escape") return dnd.go(listOf(layer), { restore: true });
      const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      const shown = layer.row(dnd.parse(location.hash).unit); // a key may come before the last one's unit is drawn
      const other = step && shown >= 0 ? neighbour(layer, shown, step) : undefined;
      if (other === undefined) return undefined;
      event.preventDefault();
      return dnd.go(dnd.href.unit(layer.key, layer.unit[other]), { replace: true });
    });
    if (row < 0) {
      return html`<div class="page"><${dnd.Title}>No unit ${route.unit}<//><div class="notice"><p>
        The run describes ${dnd.count(layer.count, "unit")} of <bdi>${layer.name}</bdi> / <bdi>${layer.layer}</bdi>
          ; this is none of them.</p>
        <p><a class="button" href=${dnd.href.layer(layer.key)}>All units of this layer</a></p></div></div>`;
    }
    return html`<${Shown} ...${{ layer, row, block, run }} correct=${evaluation?.correct?.[row]}
      metrics=${evaluation?.metrics} />`;
  }

  dnd.Unit = ({ route, run }) => {
    const { value, error } = dnd.useLoaded(route.key, () =>
      Promise.all([dnd.layer(run, route.key), dnd.evaluation(run, route.key)]),
    );
    if (error)
      return html`<div class="page"><${dnd.Title}>Unit ${route.unit}<//><${dnd.Failure} error=${error}><a href="#/">
        All layers of this run</a><//></div>`;
    if (!value) return html`<div class="page"><${dnd.Waiting} /></div>`;
    return html`<${Found} layer=${value[0]} evaluation=${value[1]} route=${route} run=${run} />`;
  };
})();
