"use strict";
/** A list of which only the part on screen exists, so that 100,000 units open at once; arrow keys move in it. */
(() => {
  const { html, useEffect, useLayoutEffect, useRef, useState } = htmPreact;
  const MARGIN = 600; // pixels kept above and below the screen
  const PRINTED = 600; // units on paper at most

  /** Width of an element, scroll position and height of the window, as they change. */
  function useView(element) {
    const [view, set] = useState({ top: scrollY, height: innerHeight, width: 0, offset: 0, printing: false });
    useLayoutEffect(() => {
      let frame = 0;
      const measure = (printing) => {
        frame = 0;
        if (!element.current) return;
        const box = element.current.getBoundingClientRect();
        set({
          top: scrollY,
          height: innerHeight,
          width: box.width,
          offset: box.top + scrollY,
          printing: printing === true,
        });
      };
      const later = () => {
        frame ||= requestAnimationFrame(measure);
      };
      const print = () => measure(true);
      const sizes = new ResizeObserver(later);
      measure();
      sizes.observe(element.current);
      const listened = { scroll: later, resize: later, beforeprint: print, afterprint: measure };
      for (const [name, act] of Object.entries(listened)) addEventListener(name, act, { passive: true });
      return () => {
        cancelAnimationFrame(frame);
        sizes.disconnect();
        for (const [name, act] of Object.entries(listened)) removeEventListener(name, act);
      };
    }, []);
    return view;
  }

  /**
   * @param {ArrayLike} of the items
   * @param {(width: number) => {columns, height, gap, style}} plan how items lie in a width; `height` includes the gap
   * @param {(at: number, focusable: boolean) => any} item draws one; its link must have `data-at` and `tabindex`
   * @param {number} start the item that has the focus when the list appears, or -1
   */
  dnd.Rows = ({ of, plan, item, start = -1, role = "list", label, head, kind = "" }) => {
    const element = useRef(null),
      wanted = useRef(start >= 0),
      aim = useRef(Math.max(start, 0)), // the item that has the focus, or gets it when it has been drawn
      settling = useRef(0);
    const [state, set] = useState({ of, at: Math.max(start, 0) });
    const count = of.length,
      setActive = (at) => {
        aim.current = at;
        set({ of, at });
      };
    const view = useView(element);
    const { columns, height, gap = 0, style } = plan(view.width || 1000);
    const rows = Math.ceil(count / columns);
    const clampRow = (y) => Math.min(rows, Math.max(0, y));
    const first = view.printing ? 0 : clampRow(Math.floor((view.top - view.offset - MARGIN) / height));
    const last = view.printing
      ? Math.min(rows, Math.ceil(PRINTED / columns))
      : clampRow(Math.ceil((view.top + view.height - view.offset + MARGIN) / height));
    const current = state.of === of ? state.at : 0; // another list begins anew
    const shown = [];
    for (let at = first * columns; at < Math.min(count, last * columns); at++) shown.push(at);
    const focusable = shown.includes(current)
      ? current
      : (shown.find((at) => Math.floor(at / columns) * height + view.offset >= view.top) ?? shown[0]);

    const reveal = (at) => {
      const bar = document.querySelector(".toolbar")?.offsetHeight ?? 0,
        top = element.current.getBoundingClientRect().top + scrollY;
      const y = top + Math.floor(at / columns) * height;
      const low = y - bar - 12,
        high = y + height - innerHeight + 12;
      if (scrollY > low) scrollTo(0, Math.max(low, 0));
      else if (scrollY < high) scrollTo(0, high);
    };
    useEffect(() => {
      if (wanted.current && count) reveal(current);
    }, []);
    useLayoutEffect(() => {
      if (document.activeElement?.matches("input, select")) wanted.current = false;
      if (!wanted.current || !view.width) return;
      const target = element.current.querySelector(`[data-at="${current}"]`);
      if (!target) return;
      if (target !== document.activeElement) target.focus({ preventScroll: true });
      clearTimeout(settling.current); // while the page still scrolls there, the item may come and go
      settling.current = setTimeout(() => {
        wanted.current = false;
      }, 250);
    });

    dnd.useKeys((event) => {
      const inside = element.current.contains(event.target);
      if (!count || (!inside && event.target.closest("a, button, summary, input, [tabindex='0']"))) return;
      const page = Math.max(1, Math.floor((innerHeight - 120) / height)) * columns;
      const step = {
        ArrowRight: 1,
        ArrowLeft: -1,
        ArrowDown: columns,
        ArrowUp: -columns,
        PageDown: page,
        PageUp: -page,
        Home: -count,
        End: count,
      }[event.key];
      if (step === undefined || (columns === 1 && role === "table" && event.key.match(/Right|Left/))) return;
      event.preventDefault();
      const going = wanted.current && !inside; // a key may come before the last one's item is drawn
      const from = going ? aim.current : Number(event.target.closest("[data-at]")?.dataset.at ?? focusable);
      const next = inside || going ? Math.min(count - 1, Math.max(0, from + step)) : (focusable ?? 0);
      setActive(next);
      reveal(next);
      const target = element.current.querySelector(`[data-at="${next}"]`);
      if (target) target.focus({ preventScroll: true });
      wanted.current = true; // where it is not drawn yet, or is drawn anew while the page scrolls
    });

    const offset = first * height;
    const paper = { height: view.printing ? "auto" : `${Math.max(rows * height - gap, 0)}px`, ...style };
    return html`<div class=${`rows ${kind}`} role=${role} aria-label=${label}
      aria-rowcount=${role === "table" ? count + 1 : undefined}>
      ${head}
      <div ref=${element} class="spacer" style=${paper} role=${role === "table" ? "rowgroup" : "presentation"}
        onFocusIn=${(event) => {
          const at = event.target.dataset?.at;
          if (at !== undefined) setActive(Number(at));
        }}>
        <div class="slice" role="presentation" style=${{ transform: view.printing ? "none" : `translateY(${offset}px)`,
          gridTemplateColumns: `repeat(${columns}, minmax(0, 1fr))` }}>
          ${view.width > 0 && shown.map((at) => item(at, at === focusable))}
        </div></div></div>`;
  };
})();
