// Runs once when the page opens: a secret of this browser for its history, regions on the waveform, buttons of cards.
() => {
  const KEY = "snac_browser", VALID = /^[0-9a-f]{32}$/;
  const cookie = (document.cookie.match(/(?:^|; )snac_browser=([0-9a-f]{32})/) || [])[1];
  let secret = cookie || localStorage.getItem(KEY) || "";
  if (!VALID.test(secret))
    secret = Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
  localStorage.setItem(KEY, secret);
  document.cookie = `${KEY}=${secret}; path=/; max-age=31536000; SameSite=Lax`;

  const input = (id) => document.querySelector(`#${id} input, #${id} textarea`);
  const set = (id, value) => {
    const box = input(id);
    if (!box) return;
    box.value = value;
    box.dispatchEvent(new Event("input", { bubbles: true }));
  };

  // The region follows the two number boxes; dragging on the waveform writes them.
  const paint = () => {
    const wave = document.querySelector(".snac-wave"), from = input("snac-from"), to = input("snac-to");
    if (!wave || !from || !to) return;
    const seconds = parseFloat(wave.dataset.seconds), share = (box) => Math.min(1, Math.max(0, (parseFloat(box.value) || 0) / seconds));
    const region = wave.querySelector("i"), start = share(from), end = Math.max(start, share(to));
    region.style.left = `${100 * start}%`;
    region.style.width = `${100 * (end - start)}%`;
  };
  setInterval(paint, 200);
  let anchor = null;
  const second = (wave, event) => {
    const box = wave.getBoundingClientRect(), seconds = parseFloat(wave.dataset.seconds);
    return Math.min(1, Math.max(0, (event.clientX - box.left) / box.width)) * seconds;
  };
  const mark = (event) => {
    if (!anchor) return;
    const here = second(anchor.wave, event), seconds = parseFloat(anchor.wave.dataset.seconds);
    const floor = (value) => (Math.floor(100 * Math.min(value, seconds)) / 100).toFixed(2);
    set("snac-from", floor(Math.min(anchor.at, here)));
    set("snac-to", floor(Math.max(anchor.at, here)));
    paint();
  };
  document.addEventListener("pointerdown", (event) => {
    const wave = event.target.closest && event.target.closest(".snac-wave");
    if (!wave) return;
    event.preventDefault();
    anchor = { wave, at: second(wave, event) };
  });
  document.addEventListener("pointermove", mark);
  document.addEventListener("pointerup", (event) => {
    mark(event);
    anchor = null;
  });

  document.addEventListener("click", (event) => {
    const button = event.target.closest && event.target.closest("[data-do]");
    if (!button) return;
    if (button.dataset.do === "delete" && !confirm("Delete this sample and its files?")) return;
    set("snac-do", JSON.stringify([button.dataset.do, button.dataset.name, Date.now()]));
    if (button.dataset.do === "open") window.scrollTo({ top: 0, behavior: "smooth" });
  });
  return [new URLSearchParams(location.search).get("settings") || ""];
}
