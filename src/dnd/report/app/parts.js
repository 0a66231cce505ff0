"use strict";
/** Small parts that every view uses. Text of captions and language models is always inside <bdi>. */
(() => {
  const { html, useLayoutEffect, useRef, useState } = htmPreact;

  /** Why nothing is said of a unit, in a few words. */
  const REASONS = {
    dead: "never active",
    constant: "responds alike to everything",
    nonfinite: "never has a finite activation",
    no_concept: "no usable answer",
    chance: "labels of other units explain it as well",
    little: "its label explains too little",
  };
  dnd.reason = (code) => REASONS[code] ?? code.replaceAll("_", " ");

  /** Name of a method as people write it. */
  dnd.methodName = (method) => (method === "dnd" ? "Describe-and-Dissect" : method);

  dnd.fixed = (value, digits = 2) => {
    if (value === null || value === undefined || Number.isNaN(value)) return "–";
    const size = Math.abs(value);
    if (size >= 1e5 || (size > 0 && size < 0.5 * 10 ** -digits && digits > 0)) return value.toPrecision(2);
    return value.toFixed(size >= 100 ? Math.min(digits, 1) : digits).replace("-", "−");
  };
  /** A probability; one close to 1 is not written as 1. */
  dnd.sure = (value) => dnd.fixed(value, value > 0.995 && value < 1 ? 3 : 2);
  const grouped = new Intl.NumberFormat("en-US");
  dnd.whole = (value) => grouped.format(value);
  dnd.count = (n, noun) => `${dnd.whole(n)} ${noun}${n === 1 ? "" : "s"}`;
  dnd.percent = (share) => `${Math.round(100 * share)} %`;

  let live = 0;
  /** Tell people who listen to the page. */
  dnd.announce = (text) => {
    clearTimeout(live);
    live = setTimeout(() => {
      const region = document.getElementById("live");
      if (region) region.textContent = text;
    }, 250);
  };

  const simple = (name) => name.toLowerCase().replaceAll(/[\s_-]+/g, " ");
  let terms = null;

  /** What a word of the page means, or undefined. */
  dnd.meaning = (name) => {
    terms ??= new Map(Object.entries(dnd.run?.terms ?? {}).map(([key, text]) => [simple(key), text]));
    return terms.get(simple(name)) ?? terms.get(simple(name).replace(/s$/, ""));
  };

  /** A word that explains itself: press it, or rest on it. */
  dnd.Term = ({ name, children }) => {
    const [place, setPlace] = useState(null);
    const button = useRef(null);
    const waiting = useRef(0);
    const meaning = dnd.meaning(name);
    const show = () => {
      const { left, right, bottom, top } = button.current.getBoundingClientRect(),
        width = Math.min(300, innerWidth - 24);
      const x = Math.max(12, Math.min((left + right) / 2 - width / 2, innerWidth - width - 12));
      const below = bottom + 150 < innerHeight;
      setPlace({
        left: `${x}px`,
        width: `${width}px`,
        ...(below ? { top: `${bottom + 7}px` } : { bottom: `${innerHeight - top + 7}px` }),
      });
    };
    const hide = () => {
      clearTimeout(waiting.current);
      setPlace(null);
    };
    useLayoutEffect(() => {
      if (!place) return undefined;
      const key = (event) => {
        if (event.key !== "Escape") return;
        event.stopImmediatePropagation();
        hide();
      };
      addEventListener("keydown", key, true);
      addEventListener("scroll", hide, { passive: true });
      return () => {
        removeEventListener("keydown", key, true);
        removeEventListener("scroll", hide);
      };
    }, [place]);
    if (!meaning) return children ?? name;
    const rest = (event) => {
      if (event.pointerType === "mouse") waiting.current = setTimeout(show, 350);
    };
    return html`<span class="term" onPointerEnter=${rest} onPointerLeave=${hide}>
      <button type="button" ref=${button} aria-expanded=${String(Boolean(place))} onBlur=${hide}
        onClick=${() => (place ? hide() : show())}>${children ?? name}</button>
      <span role="status" class="tip-holder">${place && html`<span class="tip" style=${place}>${meaning}</span>`}</span>
        </span>`;
  };

  /** The heading of a view; it takes the focus when the reader has come to a new view, once it is there. */
  dnd.Title = ({ kind, children }) => {
    const heading = useRef(null);
    useLayoutEffect(() => {
      if (!dnd.arriving) return;
      dnd.arriving = false;
      heading.current.focus({ preventScroll: true });
    });
    return html`<h1 ref=${heading} tabindex="-1" class=${kind}>${children}</h1>`;
  };

  /** A cell of a sprite sheet; `--side` in the style sheet says how large it is shown. */
  dnd.Cell = ({ sheet, columns, cell, kind = "", label, style }) => html`<span class=${`cell ${kind}`}
    role=${label ? "img" : undefined} aria-label=${label} aria-hidden=${label ? undefined : "true"}
    style=${{ ...style, backgroundImage: `url("${sheet}")`, "--n": columns, "--c": cell % columns,
      "--r": Math.floor(cell / columns) }} />`;

  /** A value from 0 to 1 as a bar and a number; nothing where it is not known. */
  dnd.Measure = ({ name, value, title }) =>
    Number.isNaN(value) ? null : html`<span class="measure" title=${title}>
      <${dnd.Bar} value=${value} /><span class="number"><span class="unseen">${name} </span>${dnd.sure(value)}</span>
        </span>`;

  /** How much the label of a row explains, or the candidate that is not said; else how sure the label is. */
  dnd.Explains = ({ layer, row }) => {
    if (!Number.isNaN(layer.explains[row])) {
      return html`<${dnd.Measure} name="explains" value=${layer.explains[row]}
        title=${`explains ${dnd.sure(layer.explains[row])}, 95 % interval ${dnd.interval(layer, row)}`} />`;
    }
    return layer.label[row] < 0 ? null : html`<${dnd.Measure} name="confidence" value=${layer.confidence[row]} />`;
  };

  /** The 95 % interval of what the label of a row explains. */
  dnd.interval = (layer, row) => `${hundredths(layer.explains_low[row])}–${hundredths(layer.explains_high[row])}`;
  const hundredths = (value) => (Math.round(100 * value) / 100 + 0).toFixed(2).replace("-", "−"); // + 0: never −0.00

  /** Whether the label is right, where that is known. */
  dnd.Verdict = ({ correct, words }) => {
    if (correct !== 0 && correct !== 1) return null;
    const word = correct ? "right" : "wrong";
    return html`<span class=${`verdict ${word}`} title=${words ? undefined : `${word}, judged by the known answer`}>
      <span aria-hidden="true">${correct ? "✓" : "✗"}</span><span class=${words ? "" : "unseen"}> ${word}</span>
        </span>`;
  };

  /** What stands in place of something that could not be shown. */
  dnd.Failure = ({ error, children }) => html`<div class="notice" role="alert">
    <p><strong>This part cannot be shown.</strong> <bdi>${error.message}</bdi></p>
    <p>${children ?? "Was the folder copied as a whole? Building the report again writes every file anew."}</p></div>`;

  dnd.Waiting = () => html`<div class="notice waiting" aria-busy="true"><p>Loading …</p></div>`;

  /** A button that copies text. */
  dnd.Copy = ({ text, children }) => {
    const [done, setDone] = useState(false);
    const copy = async () => {
      await copied(typeof text === "function" ? text() : text);
      setDone(true);
      dnd.announce("copied");
      setTimeout(() => setDone(false), 1600);
    };
    return html`<button type="button" class="quiet" onClick=${copy}>${done ? "Copied ✓" : children}</button>`;
  };

  async function copied(text) {
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      // no permission, or an old browser
      const area = Object.assign(document.createElement("textarea"), { value: text });
      document.body.append(area);
      area.select();
      document.execCommand("copy");
      area.remove();
    }
  }

  /** How to cite the run. */
  dnd.Cite = () => {
    const citation = dnd.run.citation;
    return (
      citation &&
      html`<details class="cite"><summary>Cite</summary>
      <p><bdi>${citation.text}</bdi></p>
      ${
        citation.bibtex &&
        html`<pre tabindex="0" aria-label="BibTeX">${citation.bibtex}</pre>
        <${dnd.Copy} text=${citation.bibtex}>Copy BibTeX<//>`
      }</details>`
    );
  };

  /** Whether a key press belongs to the page and not to a field or to the browser. */
  dnd.isFree = (event) =>
    !event.defaultPrevented &&
    !event.ctrlKey &&
    !event.metaKey &&
    !event.altKey &&
    !(
      event.target instanceof Element &&
      event.target.closest("input:not([type=checkbox]):not([type=radio]), select, textarea, dialog, [role=menu]")
    );

  /** Call `act` with each key press that is free, as long as the component is shown: from the commit on, since a hidden or
   *  busy page may run effects of the next paint so late that a press is lost. */
  dnd.useKeys = (act) => {
    const latest = useRef(act);
    latest.current = act;
    useLayoutEffect(() => {
      const key = (event) => {
        if (dnd.isFree(event)) latest.current(event);
      };
      addEventListener("keydown", key);
      return () => removeEventListener("keydown", key);
    }, []);
  };
})();
