"use strict";
/** The frame around every view: head, theme, help, errors; and the start. */
(() => {
  const { html, render, useEffect, useErrorBoundary, useLayoutEffect, useRef, useState } = htmPreact;
  const THEMES = ["system", "light", "dark"];
  const KEYS = [
    ["/", "search the layer"],
    ["← ↑ → ↓", "move among units; in a unit, to the previous and next"],
    ["Enter", "open a unit"],
    ["b", "crop box on exemplars"],
    ["h", "heat map on exemplars"],
    ["Esc", "back, or clear what was searched"],
    ["?", "this help"],
  ];

  /** What the reader chose the last time; a browser may forbid to keep it. */
  const kept = {
    get theme() {
      try {
        return localStorage.getItem("dnd-theme") ?? "system";
      } catch {
        return "system";
      }
    },
    set theme(value) {
      try {
        localStorage.setItem("dnd-theme", value);
      } catch {
        /* then it lasts until the page closes */
      }
    },
  };
  const dress = (theme) => {
    document.documentElement.dataset.theme = theme;
  };
  dress(kept.theme);

  function Theme() {
    const [theme, setTheme] = useState(kept.theme);
    const next = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length];
    const turn = () => {
      kept.theme = next;
      dress(next);
      setTheme(next);
      dnd.announce(`${next} colours`);
    };
    return html`<button type="button" class="icon plain" onClick=${turn} title=${`Colours: ${theme}`}
      aria-label=${`Colours: ${theme}; change to ${next}`}>${{ system: "◐", light: "☀", dark: "☾" }[theme]}</button>`;
  }

  function Help({ close }) {
    const dialog = useRef(null);
    useLayoutEffect(() => {
      dialog.current.showModal();
    }, []);
    const terms = Object.entries(dnd.run.terms ?? {});
    return html`<dialog ref=${dialog} onClose=${close} aria-labelledby="help-title" onClick=${(event) => {
      if (event.target === dialog.current) dialog.current.close();
    }}>
      <div class="help"><button type="button" class="icon plain close" aria-label="Close"
        onClick=${() => dialog.current.close()}>×</button>
        <h2 id="help-title">Keys</h2><dl class="keys">
          ${KEYS.map(([key, words]) => html`<div key=${key}><dt><kbd>${key}</kbd></dt><dd>${words}</dd></div>`)}</dl>
        <h2>Search</h2><p>Words that stand in one label, candidate or caption; <code>"a phrase"</code>; <code>label:
          </code>, <code>candidate:</code> or <code>caption:</code> for one of them; <code>=red circle
            </code> for a whole label; a number for a unit.</p>
        ${terms.length > 0 && html`<h2>Terms</h2><dl class="terms">
          ${terms.map(([name, text]) => html`<div key=${name}><dt>${name.replaceAll("_", " ")}</dt><dd>${text}</dd>
            </div>`)}</dl>`}</div></dialog>`;
  }

  function Unknown({ route }) {
    return html`<div class="page"><${dnd.Title}>No such page<//><div class="notice"><p>“<bdi>${route.hash}</bdi>
      ” leads nowhere in this report.</p><p><a class="button" href="#/">All layers of this run</a></p></div></div>`;
  }

  const VIEWS = { overview: "Overview", layer: "Layer", unit: "Unit", compare: "Compare" };
  const TITLES = {
    overview: () => "",
    layer: (route) => `${route.key} · `,
    unit: (route) => `${route.unit} · ${route.key} · `,
    compare: () => "Compare · ",
    unknown: () => "",
  };

  function View({ route, run }) {
    const [error, reset] = useErrorBoundary((one) => console.error(one));
    useEffect(() => {
      if (error) reset();
    }, [route.visit]);
    if (error)
      return html`<div class="page"><${dnd.Title}>Something went wrong<//><${dnd.Failure} error=${error}><a href="#/">
        All layers of this run</a><//></div>`;
    const Shown = VIEWS[route.view] ? dnd[VIEWS[route.view]] : Unknown;
    return html`<${Shown} key=${route.view === "unit" ? "unit" : route.visit} route=${route} run=${run} />`;
  }

  function App({ run }) {
    const route = dnd.useRoute(),
      [help, setHelp] = useState(false),
      main = useRef(null);
    useLayoutEffect(() => {
      document.title = `${TITLES[route.view](route)}${run.title ?? run.run}`;
      scrollTo(0, route.scroll);
      if (route.scroll) requestAnimationFrame(() => requestAnimationFrame(() => scrollTo(0, route.scroll)));
    }, [route.visit]);
    dnd.useKeys((event) => {
      if (event.key !== "?") return;
      event.preventDefault();
      setHelp(true);
    });
    const current = (key) =>
      route.key === key && (route.view === "layer" || route.view === "unit") ? "page" : undefined;
    const once = (name) => run.layers.filter((one) => one.name === name).length === 1;
    return html`<header class="top"><a class="skip" href=${location.hash || "#/"} onClick=${(event) => {
      event.preventDefault();
      main.current.querySelector("h1, input")?.focus();
    }}>Skip to content</a>
        <div class="page"><a class="brand" href="#/" aria-current=${route.view === "overview" ? "page" : undefined}>
          <span class="mark" aria-hidden="true"></span><bdi>${run.title ?? run.run}</bdi></a>
        <nav aria-label="Layers">${run.layers.slice(0, 12).map((one) => {
          const key = `${one.name}/${one.slug}`;
          return html`<a key=${key} href=${dnd.href.layer(key)} aria-current=${current(key)}><bdi>${once(one.name) ? one.name : key}</bdi>
            </a>`;
        })}</nav>
        <span class="tools"><a href="#/compare" aria-current=${route.view === "compare" ? "page" : undefined}>Compare
          </a>
        <button type="button" class="icon plain" aria-label="Help: keys and terms" title="Help (?)"
          onClick=${() => setHelp(true)}>?</button><${Theme} /></span></div></header>
      <main ref=${main}><${View} route=${route} run=${run} /></main>
      <p id="live" class="unseen" role="status" aria-live="polite"></p>
      ${help && html`<${Help} close=${() => setHelp(false)} />`}`;
  }

  const root = document.getElementById("app");
  dnd.load("run").then(
    (run) => {
      dnd.run = run;
      render(html`<${App} run=${run} />`, root);
    },
    (error) => render(html`<div class="page"><h1>No report</h1><${dnd.Failure} error=${error} /></div>`, root),
  );
})();
