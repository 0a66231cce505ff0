"use strict";
/** Two rows of a sweep side by side, of this run or of this and another: what changed comes first. */
(() => {
  const { html, useEffect, useMemo, useState } = htmPreact;
  const STATES = {
    // in the order of the list
    changed: "says something else",
    only_a: "only A speaks",
    only_b: "only B speaks",
    same: "says the same",
    silent: "neither speaks",
  };
  const NAMES = Object.keys(STATES);
  const plain = (text) => text.toLowerCase().replaceAll(/\s+/g, " ").trim();

  /** Units that both have, as `{a, b, state}` rows in the list's order, and how many of each state there are. */
  function compared(a, b) {
    const sameLabel = (one, other) => plain(one) === plain(other);
    const groups = NAMES.map(() => []);
    for (let row = 0; row < a.count; row++) {
      const other = b.row(a.unit[row]);
      if (other < 0) continue;
      const one = a.labelOf(row),
        two = b.labelOf(other);
      const state = one === null ? (two === null ? 4 : 2) : two === null ? 1 : sameLabel(one, two) ? 3 : 0;
      groups[state].push({ a: row, b: other, state });
    }
    return { groups, both: groups.reduce((sum, one) => sum + one.length, 0) };
  }

  const mean = (values) => (values.length ? values.reduce((sum, one) => sum + one, 0) / values.length : NaN);

  function Side({ letter, layer, evaluation }) {
    const labelled = Array.from(layer.label, (_, row) => row).filter((row) => layer.label[row] >= 0);
    const known = (evaluation?.correct ?? []).filter((one) => one >= 0),
      right = known.filter(Boolean).length;
    return html`<section class="side"><h2><span class=${`letter ${letter}`}>${letter}
      </span> <a href=${layer.base ? undefined : dnd.href.layer(layer.key)}><bdi>${layer.name}</bdi> / <bdi>
        ${layer.layer}</bdi></a></h2>
      <p class="soft"><bdi>${dnd.methodName(layer.method)}</bdi> · recipe <bdi>${layer.recipe}</bdi> · network <bdi>
        ${layer.model}</bdi>${layer.base && html` · run in <bdi>${layer.base}</bdi>`}</p>
      <dl class="facts"><div><dt>labelled</dt><dd><b>${dnd.whole(labelled.length)}</b> of ${dnd.whole(layer.count)}</dd>
        </div>
        ${["explains", "confidence"].map((name) => layer.known[name] && html`<div key=${name}><dt>mean
          ${" "}<${dnd.Term} name=${name}>${name}<//></dt><dd><b>${dnd.fixed(
            mean(labelled.map((row) => layer[name][row]).filter((value) => !Number.isNaN(value))))}</b></dd></div>`)}
        ${known.length > 0 && html`<div><dt>right</dt><dd><b>${dnd.whole(right)}
          </b> of ${dnd.whole(known.length)} with a known answer</dd></div>`}</dl></section>`;
  }

  function Result({ a, b, checksA, checksB }) {
    const { groups, both } = useMemo(() => compared(a, b), [a, b]);
    const [only, setOnly] = useState(null);
    const rows = useMemo(() => (only === null ? groups.flat() : groups[only]), [groups, only]);
    useEffect(() => dnd.announce(`${dnd.count(rows.length, "unit")} compared`), [rows]);
    const cell = (
      layer,
      row,
      checks,
    ) => html`<div role="cell" class="c-side"><a href=${layer.base
      ? `${dnd.address("index.html", layer.base)}${dnd.href.unit(layer.key, layer.unit[row])}`
        : dnd.href.unit(layer.key, layer.unit[row])} tabindex="-1"><${dnd.Label} layer=${layer} row=${row} /></a>
      <span class="under"><${dnd.Explains} layer=${layer} row=${row} /> <${dnd.Verdict}
          correct=${checks?.correct?.[row]} /></span></div>`;
    const item = (at, focusable) => {
      const { a: one, b: two, state } = rows[at];
      return html`<div role="row" class=${`row s-${NAMES[state]}`} key=${one} aria-rowindex=${at + 2}>
        <div role="cell" class="c-unit"><a class="number" data-at=${at} tabindex=${focusable ? 0 : -1}
          aria-label=${`unit ${a.unit[one]}`} href=${dnd.href.unit(a.key, a.unit[one])}>${a.unit[one]}</a></div>
        <div role="cell" class="c-thumbs"><${dnd.Thumbs} layer=${a} row=${one} most=${3} /></div>
        ${cell(a, one, checksA)}${cell(b, two, checksB)}
        <div role="cell" class="c-state">${STATES[NAMES[state]]}</div></div>`;
    };
    const head = html`<div role="rowgroup" class="head"><div role="row" class="row">
      <div role="columnheader" class="c-unit">unit</div><div role="columnheader" class="c-thumbs">exemplars</div>
      <div role="columnheader" class="c-side"><span class="letter A">A</span> <bdi>${a.name}</bdi></div>
        <div role="columnheader" class="c-side"><span class="letter B">B</span> <bdi>${b.name}</bdi></div>
          <div role="columnheader" class="c-state">B, compared with A</div></div></div>`;
    const plan = (width) => ({
      columns: 1,
      height: width < 620 ? 84 : 60,
      style: { "--side": width < 620 ? "30px" : "44px" },
    });
    return html`<div class="both-sides"><${Side} letter="A" layer=${a} evaluation=${checksA} />
      <${Side} letter="B" layer=${b} evaluation=${checksB} /></div>
      ${(a.slug !== b.slug || a.model !== b.model)
        && html`<p class="notice slim">These are different layers: that unit numbers agree means nothing.</p>`}
      ${
        both === 0
          ? html`<p class="notice">They have no unit in common.</p>`
          : html`
      <div class="counts"><${dnd.Stack} parts=${groups.map((one, state) =>
        ({ size: one.length, kind: `s-${NAMES[state]}` }))} />
        <ul class="legend" aria-label="Units by what changed">
          <li><button type="button" aria-pressed=${String(only === null)} onClick=${() => setOnly(null)}><b>
            ${dnd.whole(both)}</b> all</button></li>
          ${groups.map(
            (one, state) =>
              one.length > 0 &&
              html`<li key=${state}><button type="button" aria-pressed=${String(only === state)}
                onClick=${() => setOnly(only === state ? null : state)}>
            <span class=${`swatch s-${NAMES[state]}`} aria-hidden="true"></span><b>${dnd.whole(one.length)}
              </b> ${STATES[NAMES[state]]}</button></li>`,
          )}</ul>
        ${both < Math.max(a.count, b.count) && html`<p class="faint">
          ${dnd.whole(a.count + b.count - 2 * both)} units that only one of them describes are left out.</p>`}</div>
      <${dnd.Rows} key=${only} kind="pairs-table" role="table" of=${rows} plan=${plan} item=${item}
        head=${head} label="Labels side by side, changed first" />`
      }`;
  }

  const keyOf = (one) => `${one.name}/${one.slug}`;

  function Pick({ letter, layers, value, change }) {
    return html`<label class="choice"><span><span class=${`letter ${letter}`}>${letter}</span></span>
      <select value=${value ?? ""} onChange=${(event) => change(event.target.value)}>
      ${!value && html`<option value="">choose …</option>`}
      ${layers.map((one) => html`<option key=${keyOf(one)} value=${keyOf(one)} selected=${keyOf(one) === value}>
        ${one.name} / ${one.layer} (${one.method})</option>`)}</select></label>`;
  }

  function Other({ params, change }) {
    const [text, setText] = useState(params.with ?? "");
    const wrong = text !== "" && !dnd.folder(text);
    const take = (event) => {
      event.preventDefault();
      if (!wrong) change({ with: text, b: text ? (params.b ?? params.a) : undefined });
    };
    return html`<details class="other-run" open=${Boolean(params.with)}><summary>B is of another run</summary>
      <form onSubmit=${take}>
      <label>Folder of its report, from this one: <input type="text" value=${text} placeholder="../../other-run/report"
        spellcheck=${false} aria-invalid=${String(wrong)} onInput=${(event) => setText(event.target.value)} /></label>
      <button type="submit" disabled=${wrong}>Open</button>
        ${wrong && html`<p class="failed" role="alert">
          Only a folder relative to this report can be opened, such as ../../other-run/report.</p>`}</form></details>`;
  }

  dnd.Compare = ({ route, run }) => {
    const { params } = route,
      base = params.with ? dnd.folder(params.with) : "";
    const other = dnd.useLoaded(base ? base : null, () => dnd.load("run", base));
    const runB = base ? other.value : run;
    const first =
      run.layers.find((one) =>
        run.layers.some((two) => two !== one && two.slug === one.slug && two.model === one.model),
      ) ?? run.layers[0];
    const a = params.a ?? (first && keyOf(first)),
      twin = run.layers.find((one) => keyOf(one) === a);
    const like =
      twin && runB?.layers.find((one) => one.slug === twin.slug && one.model === twin.model && (base || one !== twin));
    const b = params.b ?? (like && keyOf(like));
    const ready = base !== null && runB && a && b && (!base || other.value);
    const pair = dnd.useLoaded(ready ? `${base}\n${a}\n${b}` : null, () =>
      Promise.all([dnd.layer(run, a), dnd.layer(runB, b, base), dnd.evaluation(run, a), dnd.evaluation(runB, b, base)]),
    );
    const change = (changed) => dnd.go(dnd.href.compare({ a, b, ...params, ...changed }), { replace: true });
    dnd.useKeys((event) => {
      if (event.key === "Escape") dnd.go(dnd.href.overview(), { restore: true });
    });
    const error =
      base === null
        ? new Error(`“${params.with}” is not a folder relative to this report.`)
        : (other.error ?? pair.error);
    return html`<div class="page compare"><${dnd.Title}>Compare<//>
      <p class="lead">Two runs, recipes or methods on the same units: labels that changed come first.</p>
      <div class="pick"><${Pick} letter="A" layers=${run.layers} value=${a} change=${(key) => change({ a: key })} />
        <button type="button" class="quiet" disabled=${Boolean(base) || !b} onClick=${() => change({ a: b, b: a })}
          aria-label="Swap A and B">⇄</button>
        <${Pick} letter="B" layers=${runB?.layers ?? []} value=${b} change=${(key) => change({ b: key })} />
          <${Other} params=${params} change=${change} /></div>
      ${
        error
          ? html`<${dnd.Failure} error=${error}><a href="#/compare">Compare within this run</a><//>`
          : !b && runB
            ? html`<p class="notice">
              Choose two layers. No other row of this run describes the same layer of the same network; another run can
              be opened above.</p>`
            : pair.value
              ? html`<${Result} key=${`${a}\n${b}`} a=${pair.value[0]} b=${pair.value[1]} checksA=${pair.value[2]}
                checksB=${pair.value[3]} />`
              : html`<${dnd.Waiting} />`
      }</div>`;
  };
})();
