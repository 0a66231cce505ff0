"use strict";
/** The units that are shown, as a file. */
(() => {
  const { html, useLayoutEffect, useRef, useState } = htmPreact;

  /** Columns of the export: `[{name, type, data}]`, one value a row. */
  function columns(layer, rows, correct) {
    const picked = (pick) => Array.from(rows, pick);
    const number = (values) => picked((row) => (values === null || Number.isNaN(values[row]) ? null : values[row]));
    const same = (text) => picked(() => text);
    const text = Object.entries({
      model: same(layer.model),
      name: same(layer.name),
      layer: same(layer.layer),
      probe: same(layer.probe),
      recipe: same(layer.recipe),
      method: same(layer.method),
    }).map(([name, data]) => ({ name, type: "STRING", data }));
    return [
      ...text,
      { name: "unit", type: "INT32", data: picked((row) => layer.unit[row]) },
      { name: "label", type: "STRING", data: picked((row) => layer.labelOf(row)) },
      { name: "unsaid", type: "STRING", data: picked((row) => layer.unsaidOf(row)) },
      ...["explains", "explains_low", "explains_high", "bimodality", "confidence"].map((name) =>
        ({ name, type: "DOUBLE", data: number(layer[name]) })),
      { name: "abstained", type: "STRING", data: picked((row) => layer.reasonOf(row)) },
      { name: "score", type: "DOUBLE", data: number(layer.score) },
      { name: "importance", type: "DOUBLE", data: number(layer.importance) },
      { name: "facets", type: "INT32", data: picked((row) => layer.facets[row]) },
      { name: "polysemantic", type: "BOOLEAN", data: picked((row) => Boolean(layer.polysemantic[row])) },
      { name: "kind", type: "STRING", data: picked((row) => layer.kindOf(row)) },
      { name: "truth", type: "STRING", data: picked((row) => layer.truth?.[row] ?? null) },
      { name: "correct", type: "BOOLEAN", data: picked((row) => ({ 0: false, 1: true })[correct?.[row]] ?? null) },
    ];
  }

  /** A text that a spreadsheet would run as a formula gets an apostrophe before it. */
  const inert = (value) => (typeof value === "string" && /^[=+\-@\t\r\n]/.test(value) ? `'${value}` : String(value));

  function quoted(value) {
    const text = value === null ? "" : inert(value);
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  }

  function csv(table) {
    const lines = [table.map((one) => one.name).join(",")];
    for (let at = 0; at < (table[0]?.data.length ?? 0); at++)
      lines.push(table.map((one) => quoted(one.data[at])).join(","));
    return `${lines.join("\r\n")}\r\n`;
  }

  function json(table) {
    const rows = table[0].data.map((_, at) =>
      JSON.stringify(Object.fromEntries(table.map((one) => [one.name, one.data[at]]))),
    );
    return `[\n${rows.join(",\n")}\n]\n`;
  }

  /** The writer is loaded when it is first needed. */
  function writer() {
    return new Promise((resolve, reject) => {
      if (window.hyparquetWriter) return resolve(window.hyparquetWriter);
      const script = document.createElement("script");
      script.src = "app/vendor/hyparquet-writer.js";
      script.onload = () => resolve(window.hyparquetWriter);
      script.onerror = () => reject(new Error("The file app/vendor/hyparquet-writer.js is missing."));
      document.head.append(script);
    });
  }

  const FORMATS = {
    csv: { name: "CSV", note: "spreadsheets", type: "text/csv", write: async (table) => csv(table) },
    json: { name: "JSON", note: "one object a unit", type: "application/json", write: async (table) => json(table) },
    parquet: {
      name: "Parquet",
      note: "pandas, Arrow, DuckDB",
      type: "application/vnd.apache.parquet",
      write: async (table) =>
        (await writer()).parquetWriteBuffer({ columnData: table.map((one) => ({ ...one, nullable: true })) }),
    },
  };

  async function save(layer, rows, correct, ending) {
    const { type, write } = FORMATS[ending];
    const address = URL.createObjectURL(new Blob([await write(columns(layer, rows, correct))], { type }));
    const link = Object.assign(document.createElement("a"), {
      href: address,
      download: `${dnd.run.run}-${layer.name}-${layer.slug}.${ending}`,
    });
    link.click();
    setTimeout(() => URL.revokeObjectURL(address), 10000);
  }

  /** The menu of formats. */
  dnd.Export = ({ layer, rows, correct }) => {
    const [open, setOpen] = useState(false),
      [failure, setFailure] = useState(null),
      menu = useRef(null);
    useLayoutEffect(() => {
      if (!open) return undefined;
      menu.current.querySelector("[role=menuitem]").focus();
      const outside = (event) => {
        if (!menu.current.contains(event.target)) setOpen(false);
      };
      addEventListener("pointerdown", outside);
      return () => removeEventListener("pointerdown", outside);
    }, [open]);
    const close = () => {
      setOpen(false);
      menu.current.querySelector("button").focus();
    };
    const key = (event) => {
      const items = [...menu.current.querySelectorAll("[role=menuitem]")],
        at = items.indexOf(document.activeElement);
      const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
      if (!open || (step === undefined && event.key !== "Escape")) return;
      event.preventDefault();
      event.stopPropagation();
      if (step) items[(at + step + items.length) % items.length].focus();
      else close();
    };
    const choose = (ending) => {
      close();
      setFailure(null);
      save(layer, rows, correct, ending).then(
        () => dnd.announce(`${dnd.count(rows.length, "unit")} saved as ${FORMATS[ending].name}`),
        setFailure,
      );
    };
    return html`<div class="menu" ref=${menu} onKeyDown=${key}>
      <button type="button" aria-haspopup="menu" aria-expanded=${String(open)} onClick=${() => setOpen(!open)}>Export
        </button>
      ${
        open &&
        html`<div role="menu" aria-label="Save the units shown as">
        ${Object.entries(FORMATS).map(
          ([ending, { name, note }]) => html`<button type="button" role="menuitem" tabindex="-1" key=${ending}
          onClick=${() => choose(ending)}><strong>${name}</strong> <span>${note}</span></button>`,
        )}
        ${
          layer.contact_sheet &&
          ["pdf", "png"].map(
            (ending) => html`<a role="menuitem" tabindex="-1" key=${`sheet-${ending}`} target="_blank" rel="noopener"
          href=${dnd.address(`${layer.folder}/contact-sheet.${ending}`)}><strong>Contact sheet</strong> <span>
            ${ending.toUpperCase()}, for papers</span></a>`,
          )
        }
      </div>`
      }
      ${failure && html`<p role="alert" class="failed">${failure.message}</p>`}</div>`;
  };
})();
