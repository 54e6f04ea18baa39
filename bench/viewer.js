/* Injected into the dashboard: notes of each tile how old its newest record was when it was received and painted. */
(() => {
  const seen = (window.__tiles = []);
  const Plain = window.WebSocket;
  const newest = (data) => {
    const view = new DataView(data);
    const from = view.getFloat64(8, true), until = view.getFloat64(16, true), lanes = view.getUint32(36, true);
    let last = 0;
    for (let i = 0; i < lanes; i++) {
      const at = 56 + 16 * i;
      const [lane, mode, count, offset] = [0, 4, 8, 12].map((field) => view.getUint32(at + field, true));
      if (lane % 4096 < 1024 || mode !== 1) continue;
      for (let row = 0; row < count; row++) {
        const begin = view.getFloat32(offset + 4 * row, true);
        const end = begin + view.getFloat32(offset + 4 * (count + row), true);
        last = Math.max(last, from + (until - from) * end);
      }
    }
    return { last, latest: view.getFloat64(24, true) };
  };
  window.WebSocket = class extends Plain {
    constructor(...args) {
      super(...args);
      this.addEventListener("message", (event) => {
        if (!(event.data instanceof ArrayBuffer)) return;
        const received = performance.timeOrigin + performance.now();
        const { last, latest } = newest(event.data);
        /* The page draws in its next frame; when the one after begins, that one has been shown. */
        requestAnimationFrame(() =>
          requestAnimationFrame(() => {
            seen.push({ last, latest, received, painted: performance.timeOrigin + performance.now() });
          }),
        );
      });
    }
  };
})();
