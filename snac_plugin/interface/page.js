// Runs once when the page opens: a secret of this browser for its history, regions on the waveform, chunks that play while the
// next are made, two sounds compared, buttons of cards.
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
  setInterval(() => { paint(); listen(); }, 200);
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

  // Finished chunks play while the next are made: each begins on the sample after the last one of the chunk before. Pieces are
  // decoded at their own rate, so that none is resampled apart from the others. `late`: pieces that came after their turn.
  const heard = { first: "", taken: 0, next: 0, late: 0, pieces: [], context: null, loading: Promise.resolve() };
  window.snacHeard = heard;
  let wanted = localStorage.getItem("snac_listen") === "1";
  const play = async (url) => {
    const bytes = await (await fetch(url)).arrayBuffer();
    const rate = new DataView(bytes).getUint32(24, true);
    if (!heard.context || heard.context.sampleRate !== rate) heard.context = new AudioContext({ sampleRate: rate });
    const context = heard.context, sound = await context.decodeAudioData(bytes), source = context.createBufferSource();
    const soonest = Math.ceil((context.currentTime + 0.1) * rate);
    if (heard.next && soonest > heard.next) heard.late += 1;
    const start = Math.max(heard.next, soonest);
    heard.next = start + sound.length;
    heard.pieces.push({ url, start, samples: sound.length });
    source.buffer = sound;
    source.connect(context.destination);
    source.start(start / rate);
  };
  const listen = () => {
    const button = document.getElementById("snac-listen"), told = document.querySelector("#snac-status [data-pieces]");
    const pieces = told ? told.dataset.pieces.split(" ") : [];
    if (pieces.length && pieces[0] !== heard.first) {  // another run
      if (heard.context) heard.context.close();
      Object.assign(heard, { first: pieces[0], taken: 0, next: 0, late: 0, pieces: [], context: null });
    }
    if (wanted)
      for (; heard.taken < pieces.length; heard.taken += 1) {
        const url = pieces[heard.taken], run = pieces[0];
        heard.loading = heard.loading.then(() => (wanted && run === heard.first ? play(url) : null)).catch(() => {});
      }
    const context = heard.context, plays = wanted && context && context.currentTime * context.sampleRate < heard.next;
    const working = document.querySelector("#snac-status .snac-progress");
    if (!button) return;
    button.hidden = !(pieces.length && working) && !plays;
    button.textContent = wanted ? "Stop listening" : "Listen while it is made";
  };
  document.addEventListener("click", (event) => {
    if (event.target.id !== "snac-listen") return;
    wanted = !wanted;
    localStorage.setItem("snac_listen", wanted ? "1" : "0");
    if (!wanted && heard.context) heard.context.close();
    if (!wanted) Object.assign(heard, { taken: 0, next: 0, late: 0, pieces: [], context: null });
    listen();
  });

  // Two sounds play together, one of them muted, so that a swap keeps the place.
  const compared = (box) => [...box.querySelectorAll("audio")];
  const show = (box, index) =>
    box.querySelectorAll("button[data-ab]").forEach((one) => one.classList.toggle("snac-on", one.dataset.ab === String(index)));
  document.addEventListener("click", (event) => {
    const button = event.target.closest && event.target.closest("[data-ab]");
    if (!button) return;
    const box = button.closest(".snac-ab"), sounds = compared(box), now = Number(box.dataset.now || 0);
    if (button.dataset.ab === "play") {
      const stopped = sounds[now].paused;
      sounds.forEach((sound, index) => {
        sound.muted = index !== now;
        sound.currentTime = Math.min(sounds[now].currentTime, sound.duration || 0);
        if (stopped) sound.play(); else sound.pause();
      });
      button.textContent = stopped ? "Pause" : "Play";
      show(box, now);
      sounds.forEach((sound) => { sound.onended = () => sounds.every((one) => one.paused) && (button.textContent = "Play"); });
    } else {
      const next = Number(button.dataset.ab);
      const place = sounds[now].currentTime;
      if (next !== now && place < (sounds[next].duration || 0)) sounds[next].currentTime = place;
      if (!sounds[now].paused && sounds[next].paused) sounds[next].play();
      sounds.forEach((sound, index) => { sound.muted = index !== next; });
      box.dataset.now = next;
      show(box, next);
    }
  });
  document.addEventListener("timeupdate", (event) => {
    const box = event.target.closest && event.target.closest(".snac-ab");
    if (!box || compared(box)[Number(box.dataset.now || 0)] !== event.target) return;
    box.querySelector("input").value = event.target.currentTime / (event.target.duration || 1);
  }, true);
  document.addEventListener("input", (event) => {
    const box = event.target.closest && event.target.closest(".snac-ab");
    if (!box) return;
    const sounds = compared(box), second = event.target.value * (sounds[Number(box.dataset.now || 0)].duration || 0);
    sounds.forEach((sound) => { sound.currentTime = Math.min(second, sound.duration || 0); });
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
