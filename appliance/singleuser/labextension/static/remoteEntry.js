// Shows messages of the hub in JupyterLab and Notebook: what a teacher says, who asks to open this
// server, whose visit goes on; and what the server uses of memory and processor. Plain JavaScript that
// the page loads as it is; it uses nothing of JupyterLab's own modules, so it fits every version, and
// it takes the focus from nobody: a question mustn't be answered by the next key that somebody types in
// a cell.
//
// The hub sends cards with all their text and buttons. What arrives is put into the page as text.

(() => {
  "use strict";

  const name = "@hub-appliance/classroom";
  const hiddenMs = 60000;
  const latestMs = 10000;
  const firstPauseMs = 30000;
  const longestPauseMs = 600000;
  const usageMs = 5000;
  const goneMs = 30000;

  function settings() {
    const place = document.getElementById("jupyter-config-data");
    const config = JSON.parse(place?.textContent || "{}");
    // Without a key the hub is another one, or this server isn't the visitor's own.
    if (!config.applianceLabKey || config.hubUser !== config.hubServerUser) return null;
    return {
      pages: config.hubPrefix, hub: `${config.hubPrefix}api/`, key: config.applianceLabKey,
      server: config.baseUrl, words: { memory: "Memory", cpu: "CPU" },
    };
  }

  function make(tag, style, text = "") {
    const element = document.createElement(tag);
    Object.assign(element.style, style);
    element.textContent = text;
    return element;
  }

  class Cards {
    constructor({ pages, hub, key }) {
      this.pages = pages;
      this.hub = hub;
      this.key = key;
      this.shown = new Map();
      this.hidden = new Set();
      this.before = null;
      this.region = make("div", {
        position: "fixed", right: "16px", top: "40px", zIndex: "9998", width: "min(360px, calc(100vw - 32px))",
        maxHeight: "70vh", overflowY: "auto", display: "flex", flexDirection: "column", gap: "8px",
      });
      this.region.className = "appliance-messages";
      this.region.setAttribute("role", "region");
      this.region.setAttribute("aria-live", "polite");
      this.region.setAttribute("aria-keyshortcuts", "Alt+Shift+M");
      this.region.dataset.lmSuppressShortcuts = "true";
      this.region.addEventListener("focusin", ({ relatedTarget }) => {
        if (relatedTarget && !this.region.contains(relatedTarget)) this.before = relatedTarget;
      });
      this.region.addEventListener("keydown", ({ key: pressed }) => {
        if (pressed === "Escape") this.before?.focus();
      });
      document.body.append(this.region);
    }

    show({ title, cards }) {
      this.region.setAttribute("aria-label", title);
      const had = this.region.contains(document.activeElement);
      const keys = new Set(cards.map((card) => card.key));
      for (const [key, { element }] of this.shown) {
        if (!keys.has(key)) {
          element.remove();
          this.shown.delete(key);
        }
      }
      for (const card of cards) this.put(card);
      if (had && !this.region.contains(document.activeElement)) this.before?.focus();
    }

    put(card) {
      const text = JSON.stringify(card);
      const known = this.shown.get(card.key);
      if (known?.text === text || this.hidden.has(card.key)) return;
      const element = this.element(card);
      if (known) known.element.replaceWith(element);
      else this.region.append(element);
      this.shown.set(card.key, { text, element });
    }

    element(card) {
      const element = make("div", {
        background: "var(--jp-layout-color1, #fff)", color: "var(--jp-ui-font-color1, #222)",
        border: "1px solid var(--jp-border-color1, #999)", borderLeft: "4px solid var(--jp-brand-color1, #1976d2)",
        borderRadius: "4px", padding: "12px", fontSize: "var(--jp-ui-font-size1, 13px)",
        boxShadow: "var(--jp-elevation-z8, 0 2px 8px rgb(0 0 0 / 30%))", flexShrink: "0",
      });
      element.setAttribute("role", "group");
      const title = make("div", { fontWeight: "600", overflowWrap: "anywhere" }, card.title);
      title.id = `appliance-card-${card.key}`;
      element.setAttribute("aria-labelledby", title.id);
      const text = make("div", { whiteSpace: "pre-wrap", overflowWrap: "anywhere", margin: "6px 0" }, card.text);
      const when = make("div", { color: "var(--jp-ui-font-color2, #555)", fontSize: "0.92em" }, card.when);
      const wrong = make("div", { color: "var(--jp-error-color0, #a00)" });
      wrong.setAttribute("role", "alert");
      const buttons = make("div", { display: "flex", flexWrap: "wrap", gap: "8px", marginTop: "10px" });
      for (const one of card.buttons) {
        const button = this.button(one.label, one.main);
        button.addEventListener("click", () => {
          if (one.page) window.open(this.pages + one.page, "_blank", "noopener");
          else this.press(one, buttons, wrong);
        });
        buttons.append(button);
      }
      if (card.hide) {
        const button = this.button(card.hide, false);
        button.addEventListener("click", () => {
          this.hidden.add(card.key);
          this.shown.delete(card.key);
          element.remove();
          this.before?.focus();
        });
        buttons.append(button);
      }
      element.append(title, text, when, wrong, buttons);
      return element;
    }

    button(label, isMain) {
      const button = make("button", { margin: "0" }, label);
      button.type = "button";
      button.className = `jp-mod-styled ${isMain ? "jp-mod-accept" : "jp-mod-reject"}`;
      return button;
    }

    async press({ path, body }, buttons, wrong) {
      const all = [...buttons.children];
      for (const one of all) one.disabled = true;
      wrong.textContent = "";
      try {
        const answer = await fetch(this.hub + path, {
          method: "POST",
          headers: { "Content-Type": "application/json", "X-Appliance-Lab-Key": this.key },
          body: JSON.stringify(body),
        });
        if (!answer.ok) throw new Error((await answer.json()).message);
      } catch (error) {
        wrong.textContent = error.message;
        for (const one of all) one.disabled = false;
      }
    }

    focus() {
      this.region.querySelector("button")?.focus();
    }
  }

  class Stream {
    constructor({ hub, key }, hear) {
      this.address = `${hub}appliance/messages/stream?lab_key=${key}`;
      this.hear = hear;
      this.source = null;
      this.pauseMs = firstPauseMs;
      this.timer = 0;
    }

    open() {
      clearTimeout(this.timer);
      if (this.source) return;
      this.source = new EventSource(this.address);
      this.source.addEventListener("message", ({ data }) => {
        this.pauseMs = firstPauseMs;
        this.hear(JSON.parse(data));
      });
      this.source.addEventListener("error", () => {
        // A connection that broke comes back by itself. One that the hub refused may do so later, and
        // not all of a class at the same moment.
        if (this.source?.readyState !== EventSource.CLOSED) return;
        this.close();
        this.timer = setTimeout(() => this.open(), this.pauseMs * (0.5 + Math.random()));
        this.pauseMs = Math.min(this.pauseMs * 2, longestPauseMs);
      });
    }

    close() {
      clearTimeout(this.timer);
      this.source?.close();
      this.source = null;
    }
  }

  // What the server uses, at the right of the status bar; Notebook has none, so there it is at the
  // page's lower edge. Asked of the own server, and only while somebody looks at the page.
  class UsageBar {
    constructor({ server, words }) {
      this.address = `${server}appliance/usage`;
      this.words = words;
      this.timer = 0;
      this.state = "ok";
      this.element = make("div", {
        display: "none", alignItems: "center", gap: "12px", padding: "0 8px", whiteSpace: "nowrap",
        fontSize: "var(--jp-ui-font-size1, 13px)", color: "var(--jp-ui-font-color1, #222)",
      });
      this.element.className = "appliance-usage";
      this.element.setAttribute("role", "group");
      this.alert = make("div", {
        position: "absolute", width: "1px", height: "1px", overflow: "hidden", clipPath: "inset(50%)",
      });
      this.alert.setAttribute("role", "status");
      document.body.append(this.alert);
    }

    start() {
      clearTimeout(this.timer);
      if (!document.hidden) this.ask();
    }

    async ask() {
      clearTimeout(this.timer);
      // The server takes even reading only from its own pages, which know this.
      const xsrf = /(?:^|; )_xsrf=([^;]*)/.exec(document.cookie)?.[1] ?? "";
      let pause = goneMs;
      try {
        const answer = await fetch(this.address, { headers: { "X-XSRFToken": xsrf } });
        if (answer.ok) {
          this.show((await answer.json()).items);
          pause = usageMs;
        }
      } catch {
        // The server is gone or starting; the page itself says so.
      }
      if (!document.hidden) this.timer = setTimeout(() => this.ask(), pause);
    }

    place() {
      if (this.element.isConnected) return;
      const bar = document.querySelector("#jp-main-statusbar .jp-StatusBar-Right");
      if (bar) bar.prepend(this.element);
      else {
        Object.assign(this.element.style, {
          position: "fixed", right: "0", bottom: "0", zIndex: "100", height: "24px",
          background: "var(--jp-layout-color1, #fff)", borderTopLeftRadius: "4px",
          border: "1px solid var(--jp-border-color2, #ccc)",
        });
        document.body.append(this.element);
      }
    }

    show(items) {
      this.element.replaceChildren(...items.map((item) => this.item(item)));
      this.element.setAttribute("aria-label", this.words.usage ?? "");
      this.element.style.display = items.length ? "flex" : "none";
      if (items.length) this.place();
      const full = items.find((item) => item.key !== "cpu" && item.state !== "ok");
      const state = full ? `${full.key} ${full.state}` : "ok";
      if (state !== this.state) this.alert.textContent = full ? this.text(full) : "";
      this.state = state;
    }

    item(item) {
      const isNear = item.key !== "cpu" && item.state !== "ok";
      const element = make("span", {
        fontWeight: isNear ? "700" : "400", padding: isNear ? "0 6px" : "0", borderRadius: "3px",
        background: isNear ? "var(--jp-warn-color3, #ffe0b2)" : "transparent",
        color: isNear ? "#1a1a1a" : "inherit",
      }, (isNear ? "\u26a0 " : "") + this.text(item));
      element.title = isNear ? this.words[`${item.key}_${item.state}`] ?? "" : "";
      return element;
    }

    text({ key, used, limit, unit }) {
      const form = unit === "bytes" ? bytes : (number) => number.toFixed(1);
      const label = this.words[key] ?? key;
      return limit ? `${label} ${form(used)} / ${form(limit)}` : `${label} ${form(used)}`;
    }
  }

  function bytes(count) {
    if (count >= 2 ** 30) return `${(count / 2 ** 30).toFixed(1)} GB`;
    return `${Math.round(count / 2 ** 20)} MB`;
  }

  function follow(found, app) {
    const cards = new Cards(found);
    const usage = new UsageBar(found);
    const stream = new Stream(found, (event) => {
      Object.assign(found.words, event.words);
      cards.show(event);
    });
    document.addEventListener("visibilitychange", () => usage.start());
    usage.start();
    // Browsers have few connections to one host: pages that nobody sees give theirs back.
    let leaving = 0;
    document.addEventListener("visibilitychange", () => {
      clearTimeout(leaving);
      if (document.hidden) leaving = setTimeout(() => stream.close(), hiddenMs);
      else stream.open();
    });
    app.commands.addCommand("appliance:messages", { label: "Messages", execute: () => cards.focus() });
    app.commands.addKeyBinding({ command: "appliance:messages", keys: ["Alt Shift M"], selector: "body" });
    stream.open();
  }

  const plugin = {
    id: `${name}:messages`,
    description: "Shows what a teacher says, and asks before a teacher opens the server",
    autoStart: true,
    activate: (app) => {
      const found = settings();
      if (!found) return;
      // The page comes first; but a layout that is never restored keeps no message back.
      const late = new Promise((resolve) => setTimeout(resolve, latestMs));
      Promise.race([app.restored, late]).finally(() => follow(found, app));
    },
  };

  const container = {
    init: async () => {},
    get: async (module) => {
      if (module !== "./extension") throw new Error(`there is no ${module} in ${name}`);
      return () => ({ __esModule: true, default: plugin });
    },
  };
  window._JUPYTERLAB = window._JUPYTERLAB ?? {};
  window._JUPYTERLAB[name] = container;
})();
