"use strict";
/** All units of a layer: search, filters, order; as cards or as a table. */
(() => {
  const { html, useEffect, useMemo, useRef, useState } = htmPreact;
  const FILTERS = ["q", "min", "why", "kind", "poly", "verdict"];
  const GAP = 12;

  /** Up to four exemplars of a unit, best first. */
  dnd.Thumbs = ({ layer, row, most = 4 }) => {
    const { columns, per_sheet: perSheet, count } = layer.thumbs,
      many = Math.min(count[row], most);
    if (!many) return html`<span class="thumbs none">no exemplars</span>`;
    return html`<span class="thumbs" role="img" aria-label=${`${dnd.count(many,
      "exemplar")} of unit ${layer.unit[row]}`}>
      ${Array.from({ length: many }, (_, n) => html`<${dnd.Cell} key=${n} sheet=${layer.thumb(row)} columns=${columns}
        cell=${(row % perSheet) * columns + n} />`)}</span>`;
  };

  /** The label of a row, or why there is none, after the best candidate where there is one; `brief` without “not said”. */
  dnd.Label = ({ layer, row, brief }) => {
    const label = layer.labelOf(row),
      unsaid = layer.unsaidOf(row),
      reason = dnd.reason(layer.reasonOf(row) ?? "no_concept");
    if (label !== null) return html`<span class="label"><bdi>${label}</bdi></span>`;
    if (unsaid === null) return html`<span class="silent">${reason}</span>`;
    return html`<span class="silent unsaid"><bdi>${unsaid}</bdi> <span class="because" title=${reason}>
      ${brief ? "" : "· not said: "}${reason}</span></span>`;
  };

  const found = (bits) =>
    !bits || bits & 9 ? null : html`<span class="found">in a ${bits & 2 ? "candidate" : "caption"}</span>`;

  function Card({ layer, row, at, focusable, bits, correct }) {
    const silent = layer.label[row] < 0;
    return html`<div role="listitem" key=${row}><a class=${`card ${silent ? "abstained" : ""}`} data-at=${at}
      tabindex=${focusable ? 0 : -1} href=${dnd.href.unit(layer.key, layer.unit[row])}>
      <${dnd.Thumbs} layer=${layer} row=${row} />
      <span class="title"><${dnd.Label} layer=${layer} row=${row} brief /></span>
      <span class="meta"><span class="number"><span class="unseen">unit </span>${layer.unit[row]}</span>
        ${silent && html`<span class="faint">${layer.unsaidOf(row) === null ? "nothing said" : "not said"}</span>`}
        <${dnd.Explains} layer=${layer} row=${row} />
        ${layer.polysemantic[row] ? html`<span class="tag" title="responds to several things">poly</span>` : null}
        ${found(bits)}<${dnd.Verdict} correct=${correct} /></span></a></div>`;
  }

  const grid = (width) => {
    const columns = Math.max(1, Math.floor((width + GAP) / (250 + GAP))),
      card = (width - GAP * (columns - 1)) / columns;
    const side = Math.min(76, Math.floor((card - 26 - 9) / 4));
    return { columns, gap: GAP, height: side + 98 + GAP, style: { "--side": `${side}px`, "--tall": `${side + 98}px` } };
  };
  const table = () => ({ columns: 1, height: 44, style: { "--side": "34px" } });

  const COLUMNS = ["unit", "label", "explains", "confidence", "score", "importance"];

  function Head({ layer, options, change }) {
    const sort = options.sort || "unit";
    return html`<div role="rowgroup" class="head"><div role="row" class="row">
      ${COLUMNS.filter((name) => layer.known[name]).map(
        (name) => html`<div role="columnheader" key=${name} class=${`c-${name}`}
        aria-sort=${sort === name ? (options.desc ? "descending" : "ascending") : "none"}>
        <button type="button" onClick=${() => change({ sort: name, desc: sort === name ? (options.desc ? "" : 1)
          : name === "unit" || name === "label" ? "" : 1 })}>
          ${name} <span aria-hidden="true">${sort === name ? (options.desc ? "↓" : "↑") : ""}</span></button></div>`,
      )}
      <div role="columnheader" class="c-thumbs">exemplars</div></div></div>`;
  }

  const none = html`<span class="faint">–</span>`;

  function Row({ layer, row, at, focusable, bits, correct }) {
    return html`<div role="row" class="row" key=${row} aria-rowindex=${at + 2}>
      <div role="cell" class="c-unit number">${layer.unit[row]}</div>
      <div role="cell" class="c-label"><a data-at=${at} tabindex=${focusable ? 0 : -1}
        href=${dnd.href.unit(layer.key, layer.unit[row])}><${dnd.Label} layer=${layer} row=${row} />
          </a> ${found(bits)} <${dnd.Verdict} correct=${correct} /></div>
      ${layer.known.explains && html`<div role="cell" class="c-explains">${Number.isNaN(layer.explains[row]) ? none
        : html`<${dnd.Explains} layer=${layer} row=${row} /><span class="range number">${dnd.interval(layer, row)}
          </span>`}</div>`}
      ${layer.known.confidence && html`<div role="cell" class="c-confidence">${layer.label[row] < 0
        || Number.isNaN(layer.confidence[row]) ? none
          : html`<${dnd.Measure} name="confidence" value=${layer.confidence[row]} />`}</div>`}
      ${layer.known.score && html`<div role="cell" class="c-score number">${dnd.fixed(layer.score[row])}</div>`}
      ${layer.known.importance && html`<div role="cell" class="c-importance number">${dnd.fixed(layer.importance[row], 3)}
        </div>`}
      <div role="cell" class="c-thumbs"><${dnd.Thumbs} layer=${layer} row=${row} /></div></div>`;
  }

  function Choice({ label, value, options, change, neutral }) {
    return html`<label class=${`choice ${value && value !== neutral ? "set" : ""}`}><span>${label}</span>
      <select value=${value ?? ""} onChange=${(event) => change(event.target.value)}>
        ${options.map(([code, words]) => html`<option key=${code} value=${code} selected=${code === (value ?? "")}>
          ${words}</option>`)}</select></label>`;
  }

  function Toolbar({ layer, options, change, rows, correct, field, busy, load }) {
    const [open, setOpen] = useState(false);
    const set = FILTERS.slice(1).filter((name) => options[name]).length;
    const sorts = dnd.SORTS.filter((name) => layer.known[name]).map((name) => [name, name]);
    const measure = dnd.measure(layer),
      least = measure === "explains" ? "Explains" : "Confidence"; // a label holds an output, so it names that
    const view = options.view === "table" ? "table" : "grid";
    return html`<div class="toolbar" role="search" aria-label="Units of this layer"><div class="inner">
      <div class="line">
        <label class="search"><span class="unseen">Search labels, candidates and captions</span>
          <input type="search" ref=${field} value=${options.q ?? ""} placeholder="Search labels, candidates, captions"
            autocomplete="off" spellcheck=${false}
            title='Words in one text; "a phrase"; label: candidate: caption: for one field; =text for a whole label'
            onFocus=${load} onInput=${(event) => change({ q: event.target.value })} /><kbd aria-hidden="true">/</kbd>
              </label>
        <button type="button" class="folding" aria-expanded=${String(open)} onClick=${() => setOpen(!open)}>Filters
          ${set ? ` (${set})` : ""}</button>
        <p class="count"><b>${dnd.whole(rows.length)}</b>
          ${rows.length < layer.count ? ` of ${dnd.count(layer.count, "unit")}`
            : ` unit${layer.count === 1 ? "" : "s"}`}${busy && html`<span class="faint"> searching …</span>`}</p>
        <span class="switch" role="group" aria-label="View">
          ${["grid", "table"].map((one) => html`<button type="button" key=${one} aria-pressed=${String(view === one)}
            onClick=${() => change({ view: one === "grid" ? "" : one })}>${one}</button>`)}</span>
        <${dnd.Export} layer=${layer} rows=${rows} correct=${correct} />
      </div>
      <div class=${`line filters ${open ? "open" : ""}`}>
        <${Choice} label="Show" value=${options.why} change=${(why) => change({ why })}
          options=${[["", "all units"], ["labelled", "labelled"], ["abstained", "abstained"],
            ...layer.reasons.map((code) => [code, dnd.reason(code)])]} />
        ${measure && html`<label class=${`choice range ${options.min ? "set" : ""}`}
          title=${measure === "explains" ? "Units whose best candidate explains so much, whether it is said or not"
            : "Labels that are so sure"}><span>
          ${least} at least <output>
            ${dnd.fixed(Number(options.min) || 0)}</output></span>
          <input type="range" min="0" max="1" step="0.05" value=${options.min || 0} aria-label=${`${least} at least`}
            onInput=${(event) => change({ min: Number(event.target.value) || "" })} /></label>`}
        ${layer.kinds.length > 0 && html`<${Choice} label="Category" value=${options.kind}
          change=${(kind) => change({ kind })} options=${[["", "all"], ...layer.kinds.map((one) => [one, one])]} />`}
        ${
          correct?.some((one) => one >= 0) &&
          html`<${Choice} label="Label is" value=${options.verdict} change=${(verdict) => change({ verdict })}
            options=${[
            ["", "any"],
            ["right", "right"],
            ["wrong", "wrong"],
          ]} />`
        }
        <label class=${`check ${options.poly ? "set" : ""}`}>
          <input type="checkbox" checked=${Boolean(options.poly)}
            onChange=${(event) => change({ poly: event.target.checked ? 1 : "" })} /> polysemantic</label>
        ${FILTERS.some((name) => options[name]) && html`<button type="button" class="quiet"
          onClick=${() => change(Object.fromEntries(FILTERS.map((name) => [name, ""])))}>Clear</button>`}
        <span class="spring"></span>
        <${Choice} label="Sort by" neutral="unit" value=${options.sort || "unit"}
          change=${(sort) => change({ sort, desc: sort === "unit" || sort === "label" ? "" : 1 })} options=${sorts} />
        <button type="button" class="icon" aria-label=${options.desc ? "Descending; make it ascending"
          : "Ascending; make it descending"} onClick=${() => change({ desc: options.desc ? "" : 1 })}>
            ${options.desc ? "↓" : "↑"}</button>
      </div></div></div>`;
  }

  function Units({ layer, route, run, evaluation }) {
    const [options, setOptions] = useState(route.params);
    const [texts, setTexts] = useState(layer.loadedTexts ?? dnd.labelTexts(layer)),
      [failure, setFailure] = useState(null);
    const field = useRef(null),
      writing = useRef(0);
    const correct = evaluation?.correct,
      complete = texts === layer.loadedTexts;
    const load = () =>
      dnd.texts(layer).then((all) => {
        layer.loadedTexts = all;
        setTexts(all);
      }, setFailure);
    const hash = dnd.href.layer(layer.key, options),
      fresh = useRef(hash);
    fresh.current = hash;
    const write = () => {
      clearTimeout(writing.current);
      writing.current = 0;
      dnd.rewrite(fresh.current);
    };
    const change = (changed) => {
      setOptions((last) => ({ ...last, ...changed }));
      clearTimeout(writing.current);
      writing.current = setTimeout(write, 200);
      if (scrollY > 300) scrollTo(0, Math.min(scrollY, document.querySelector(".toolbar").parentElement.offsetTop));
    };
    useEffect(() => {
      if (options.q) load();
      return () => clearTimeout(writing.current);
    }, []);
    const marks = useMemo(() => dnd.marks(layer, texts, options.q ?? ""), [texts, options.q]);
    const rows = useMemo(() => dnd.select(layer, options, marks, correct), [marks, correct, JSON.stringify(options)]);
    layer.walk = { rows, hash, some: rows.length < layer.count };
    useEffect(() => dnd.announce(`${dnd.whole(rows.length)} of ${dnd.count(layer.count, "unit")}`), [rows]);
    const clear = () => change(Object.fromEntries(FILTERS.map((name) => [name, ""])));

    dnd.useKeys((event) => {
      if (event.key === "/") {
        event.preventDefault();
        field.current.focus();
        field.current.select();
      } else if (event.key === "Escape") {
        if (FILTERS.some((name) => options[name])) clear();
        else dnd.go(dnd.href.overview(), { restore: true });
      } else return;
    });
    const inField = (event) => {
      if (event.target !== field.current) return;
      if (event.key === "Escape") {
        event.preventDefault();
        if (options.q) change({ q: "" });
        else field.current.blur();
      } else if (["Enter", "ArrowDown"].includes(event.key) && rows.length) {
        event.preventDefault();
        field.current.blur();
        document.querySelector('.rows [tabindex="0"]')?.focus();
      }
    };
    const shape = options.view === "table" ? "table" : "grid";
    const start = route.back && layer.last !== undefined ? rows.indexOf(layer.last) : -1;
    const item = (at, focusable) =>
      html`<${shape === "table" ? Row : Card} key=${rows[at]} layer=${layer} row=${rows[at]} at=${at}
        focusable=${focusable} bits=${marks?.[rows[at]]} correct=${correct?.[rows[at]]} />`;
    return html`<div onKeyDown=${inField} onClickCapture=${() => writing.current && write()}>
      <${Toolbar} ...${{ layer, options, change, rows, correct, field, load, busy: Boolean(options.q) && !complete
        && !failure }} />
      <div class="page units">
        ${failure && html`<${dnd.Failure} error=${failure}>Labels can be searched, candidates and captions cannot.<//>`}
        ${
          rows.length === 0 &&
          html`<div class="notice"><p><strong>No unit fits.
            </strong> ${options.q ? html`Nothing in this layer says “<bdi>${options.q}</bdi>”
              ${FILTERS.slice(1).some((name) => options[name]) ? " among the units that the filters leave" : ""}.`
                : "The filters leave none."}</p>
          <p><button type="button" onClick=${clear}>Show all units</button></p></div>`
        }
        ${
          rows.length > 0 &&
          html`<${dnd.Rows} key=${shape} kind=${shape} of=${rows} plan=${shape === "table" ? table : grid}
            item=${item} start=${start} label=${`Units of ${layer.name}, ${layer.layer}`}
          role=${shape === "table" ? "table" : "list"}
            head=${shape === "table" && html`<${Head} ...${{ layer, options, change }} />`} />`
        }
      </div></div>`;
  }

  dnd.Layer = ({ route, run }) => {
    const { value, error } = dnd.useLoaded(route.key, () =>
      Promise.all([dnd.layer(run, route.key), dnd.evaluation(run, route.key)]),
    );
    if (error)
      return html`<div class="page"><${dnd.Title}>Layer<//><${dnd.Failure} error=${error}><a href="#/">
        All layers of this run</a><//></div>`;
    if (!value) return html`<div class="page"><${dnd.Waiting} /></div>`;
    const [layer, evaluation] = value;
    const others = run.layers.filter(
      (one) => one.slug === layer.slug && one.model === layer.model && one.name !== layer.name,
    );
    return html`<div class="page layer-head">
        <${dnd.Title}><bdi>${layer.name}</bdi> <span class="faint">/</span> <bdi>${layer.layer}</bdi><//>
        <p class="soft">network <bdi>${layer.model}</bdi> · <${dnd.Term} name="probe">probe<//> <bdi>${layer.probe}
          </bdi> · <${dnd.Term} name="recipe">recipe<//> <bdi>${layer.recipe}</bdi>
          ${layer.method !== layer.recipe && html` · <${dnd.Term} name="method">method<//> <bdi>
            ${dnd.methodName(layer.method)}</bdi>`}
          ${others.map((one) => html` · <a key=${one.name}
            href=${dnd.href.compare({ a: layer.key, b: `${one.name}/${one.slug}` })}>compare with <bdi>${one.name}</bdi>
              </a>`)}</p></div>
      <${Units} ...${{ layer, route, run, evaluation }} />`;
  };
})();
