"use strict";
/** The first page: every layer of every model with its figures. */
(() => {
  const { html } = htmPreact;
  const FIGURES = 5; // of a layer before the others fold away

  const MAIN = new Set(["concept", "class"]); // kinds of units that matter most

  const keyOf = (summary) => `${summary.name}/${summary.slug}`;
  const silent = (summary) => Object.values(summary.abstained).reduce((sum, one) => sum + one, 0);

  /** How many are labelled and why the others are not. */
  function Counts({ summary }) {
    const reasons = Object.entries(summary.abstained)
      .filter(([, size]) => size)
      .sort((a, b) => b[1] - a[1]);
    const link = (why, size, words, kind) => html`<li key=${why}><a href=${dnd.href.layer(keyOf(summary), { why })}>
      <span class=${`swatch ${kind}`} aria-hidden="true"></span><b>${dnd.whole(size)}</b> ${words}</a></li>`;
    return html`<div class="counts">
      <${dnd.Stack} parts=${[{ size: summary.labelled, kind: "labelled" },
        ...reasons.map(([, size], at) => ({ size, kind: `silent-${at % 4}` }))]} />
      <ul class="legend">
        ${link("labelled", summary.labelled, "labelled", "labelled")}
        ${reasons.map(([code, size], at) => link(code, size, dnd.reason(code), `silent-${at % 4}`))}
        ${summary.polysemantic > 0 && html`<li class="aside-count">
          <a href=${dnd.href.layer(keyOf(summary), { poly: 1 })}><b>${dnd.whole(summary.polysemantic)}</b> polysemantic
            </a></li>`}
      </ul></div>`;
  }

  /** One measured figure with its interval, if it is a share; else the numbers alone. */
  function Figure({ figure }) {
    const { title, kind, value, low, high, note } = figure;
    const baselines = Object.entries(figure.baselines ?? {});
    const share = [value, low, high].every((one) => one === null || (one >= -1e-9 && one <= 1 + 1e-9));
    const interval = low === null || high === null ? "" : `${dnd.fixed(low)}–${dnd.fixed(high)}`;
    return html`<tr class=${note ? "doubtful" : ""}
      title=${baselines.map(([name, one]) => `${name} labels: ${dnd.fixed(one)}`).join(", ") || undefined}>
      <th scope="row"><${dnd.Term} name=${figure.metric}><bdi>${title}</bdi><//>
        ${kind && html` <span class="kind"><bdi>${kind}</bdi></span>`}
        ${note && html`<span class="note">${note}</span>`}</th>
      <td class="plotted">${share && value !== null
        && html`<${dnd.Whisker} value=${value} from=${low} to=${high} marks=${baselines.map((one) => one[1])} />`}</td>
      <td class="n">${dnd.fixed(value)}</td><td class="range">${interval}</td></tr>`;
  }

  function Figures({ figures }) {
    if (!figures.length) return null;
    const table = (
      some,
    ) => html`<table class="figures"><thead class="unseen"><tr><th>figure</th><th>plot</th><th>value</th><th>
      95 % interval</th></tr></thead>
      <tbody>${some.map((one) => html`<${Figure} key=${`${one.metric}/${one.kind}`} figure=${one} />`)}</tbody>
        </table>`;
    const rank = (one) => (MAIN.has(one.kind) ? 0 : one.kind === null ? 1 : 2);
    const sorted = [...figures].sort((a, b) => rank(a) - rank(b)),
      first = sorted.slice(0, FIGURES),
      rest = sorted.slice(FIGURES);
    const marked = figures.some((one) => Object.keys(one.baselines ?? {}).length);
    return html`<section class="block"><h4>Measured, with 95 % intervals</h4>${table(first)}
      ${marked && html`<p class="faint small">Grey marks: the same figure for one frequent label, or shuffled labels.
        </p>`}
      ${rest.length > 0 && html`<details><summary>${dnd.count(rest.length, "more figure")}</summary>${table(rest)}
        </details>`}</section>`;
  }

  /** How many labels are in each tenth from 0 to 1; nothing where that is not known of any. */
  function Tenths({ name, counts, children }) {
    if (!counts.some(Boolean)) return null;
    return html`<section class="block"><h4>${children}</h4>
      <div role="img" aria-label=${`Labels by ${name}, from 0 to 1 in tenths: ${counts.join(", ")}`}>
        <${dnd.Columns} counts=${counts} /><div class="ends" aria-hidden="true"><span>0</span><span>.5</span><span>1
          </span></div></div></section>`;
  }

  function Card({ summary, others }) {
    const key = keyOf(summary);
    return html`<article class="layer-card">
      <header>
        <h3><a href=${dnd.href.layer(key)}><bdi>${summary.name}</bdi> <span class="faint">/</span> <bdi>${summary.layer}
          </bdi></a></h3>
        <p class="soft">${dnd.count(summary.units, "unit")} · <bdi>${dnd.methodName(summary.method)}</bdi>
          ${summary.recipe !== summary.method && html` · recipe <bdi>${summary.recipe}</bdi>`} · probe <bdi>
            ${summary.probe}</bdi></p>
      </header>
      <${Counts} summary=${summary} />
      ${
        summary.concepts.length > 0 &&
        html`<section class="block"><h4>${summary.concepts[0][1] > 1 ? "Most frequent labels" : "Some of its labels"}
          </h4><ul class="chips">
        ${summary.concepts.map(([label, size]) =>
          html`<li key=${label}><a class="chip" href=${dnd.href.layer(key, { q: `=${label}` })}><bdi>${label}</bdi>
            ${size > 1 && html` <span>${dnd.whole(size)}</span>`}</a></li>`)}</ul></section>`
      }
      <${Tenths} name="what they explain" counts=${summary.explains}>What its labels <${dnd.Term} name="explains">explain<//><//>
      <${Tenths} name="confidence" counts=${summary.confidence}><${dnd.Term} name="confidence">Confidence<//>
        ${" of its labels"}<//>
      <${Figures} figures=${summary.figures} />
      <footer><a class="button primary" href=${dnd.href.layer(key)}>Browse ${dnd.count(summary.units, "unit")}</a>
        ${others.map((other) => html`<a class="button" key=${keyOf(other)}
          href=${dnd.href.compare({ a: key, b: keyOf(other) })}>Compare with <bdi>${other.name}</bdi></a>`)}</footer>
    </article>`;
  }

  dnd.Overview = ({ run }) => {
    const models = new Map();
    for (const one of run.layers) models.set(one.model, [...(models.get(one.model) ?? []), one]);
    const sum = (pick) => run.layers.reduce((total, one) => total + pick(one), 0);
    if (!run.layers.length)
      return html`<div class="page"><${dnd.Title}>${run.title ?? run.run}<//><p class="notice">
        This run describes no layer yet.</p></div>`;
    return html`<div class="page overview">
      <div class="front"><${dnd.Title}><bdi>${run.title ?? run.run}</bdi><//>
        <p class="lead">What each <${dnd.Term} name="unit">unit
          <//> of ${dnd.count(run.layers.length, "layer")} responds to, in words, with the evidence.
          <b> ${dnd.whole(sum((one) => one.labelled))}</b> of ${dnd.count(
            sum((one) => one.units),
            "unit",
          )} have a label;
          of the other <b>${dnd.whole(sum(silent))}
            </b> nothing is said, and why. Choose a layer, then a unit, to see what it rests on.</p></div>
      ${[...models].map(
        ([model, layers]) => html`<section class="model" key=${model} aria-label=${`Network ${model}`}>
        <h2><bdi>${model}</bdi> <span>${dnd.count(layers.length, "layer")}</span></h2>
        <div class="layer-cards">${layers.map(
          (one) => html`<${Card} key=${keyOf(one)} summary=${one}
          others=${layers.filter((other) => other !== one && other.slug === one.slug)} />`,
        )}</div></section>`,
      )}
      <footer class="colophon"><p>dnd ${run.version} · run <bdi>${run.run}</bdi> · <a href="../provenance.json">
        provenance</a></p><${dnd.Cite} /></footer>
    </div>`;
  };
})();
