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

  // Scroll to what just changed, if it is out of sight once it is drawn; once more where the page grew meanwhile, which ends a
  // scroll. gradio takes a list of values.
  window.snacShow = (selector, block) => {
    const show = () => {
      const one = [...document.querySelectorAll(selector)].find((each) => each.offsetParent), box = one && one.getBoundingClientRect();
      if (box && (box.top < 0 || Math.min(box.bottom, box.top + 90) > innerHeight)) one.scrollIntoView({ behavior: "smooth", block });
    };
    [150, 900].forEach((wait) => setTimeout(show, wait));
    return [];
  };
  window.snacEnded = () => snacShow(document.querySelector("#snac-status .snac-at") ? "#snac-status" : ".snac-players, #snac-result", "start");

  window.snacDownload = (url) => {
    const link = Object.assign(document.createElement("a"), { href: url, download: "" });
    document.body.append(link);
    link.click();
    link.remove();
    return [];
  };

  // A slider's number box that was cleared gets its own number, before gradio puts the lowest one there.
  document.addEventListener("blur", (event) => {
    const box = event.target, block = box.matches && box.matches("input[type=number]") && box.closest("[class*=snac-own-]");
    if (!block || box.value !== "") return;
    box.value = block.className.match(/snac-own-(\S+)/)[1];
    box.dispatchEvent(new Event("input", { bubbles: true }));
  }, true);

  // The region follows the two number boxes; dragging on the waveform writes them.
  const paint = () => {
    const wave = document.querySelector(".snac-wave"), from = input("snac-from"), to = input("snac-to");
    if (!wave || !from || !to) return;
    const seconds = parseFloat(wave.dataset.seconds), share = (box) => Math.min(1, Math.max(0, (parseFloat(box.value) || 0) / seconds));
    const region = wave.querySelector("i"), start = share(from), end = Math.max(start, share(to));
    region.style.left = `${100 * start}%`;
    region.style.width = `${100 * (end - start)}%`;
    region.hidden = !(parseFloat(to.value) > 0);
  };
  const sayTimes = () => document.querySelectorAll("time:not([data-local])").forEach((one) => {
    one.dataset.local = "";
    one.textContent = new Date(one.dateTime).toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
  });
  setInterval(() => { paint(); listen(); follow(); sayTimes(); }, 200);
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

  // Two sounds play from one clock, one of them silent: a swap keeps the place to the sample.
  const ab = { box: null, context: null, sounds: [], gains: [], sources: [], now: 0, began: 0, place: 0, busy: false };
  window.snacCompared = ab;
  const length = () => Math.max(...ab.sounds.map((sound) => sound.duration));
  const place = () => (ab.sources.length ? Math.min(length(), Math.max(ab.place, ab.place + ab.context.currentTime - ab.began)) : ab.place);
  const pause = () => {
    ab.place = place();
    ab.sources.forEach((source) => source.stop());
    ab.sources = [];
  };
  const start = (at) => {
    ab.began = ab.context.currentTime + 0.05;
    ab.place = at;
    ab.sources = ab.sounds.map((buffer, index) => {
      const source = ab.context.createBufferSource();
      source.buffer = buffer;
      source.connect(ab.gains[index]);
      source.start(ab.began, at);
      return source;
    });
  };
  const hear = (index) => {
    ab.now = index;
    ab.gains.forEach((gain, one) => gain.gain.setTargetAtTime(one === index ? 1 : 0, ab.context.currentTime, 0.003));
  };
  const forget = () => {
    if (ab.context) ab.context.close();
    Object.assign(ab, { box: null, context: null, sounds: [], gains: [], sources: [], now: 0, place: 0 });
  };
  const load = async (box) => {
    if (ab.box === box) return;
    forget();
    const context = new AudioContext(), urls = box.dataset.sounds.split(" ");
    let sounds = [];
    try {
      const bytes = await Promise.all(urls.map(async (url) => (await fetch(url)).arrayBuffer()));
      sounds = await Promise.all(bytes.map((one) => context.decodeAudioData(one)));
    } catch (error) {
      context.close(); // a browser has few of them
      throw error;
    }
    const gains = urls.map((_, index) => new GainNode(context, { gain: index ? 0 : 1 }));
    gains.forEach((gain) => gain.connect(context.destination));
    Object.assign(ab, { box, context, sounds, gains });
  };
  document.addEventListener("click", async (event) => {
    const button = event.target.closest && event.target.closest("[data-ab]");
    if (!button || ab.busy) return;
    const box = button.closest(".snac-ab");
    ab.busy = true;
    try { await load(box); } catch { button.textContent = "cannot be played"; return; } finally { ab.busy = false; }
    if (button.dataset.ab !== "play") hear(Number(button.dataset.ab));
    else if (ab.sources.length) pause();
    else start(ab.place < length() ? ab.place : 0);
    follow();
  });
  document.addEventListener("input", async (event) => {
    const box = event.target.closest && event.target.closest(".snac-ab");
    if (!box || ab.busy) return;
    ab.busy = true;
    try { await load(box); } catch { return; } finally { ab.busy = false; }
    const plays = ab.sources.length > 0, at = event.target.value * length();
    pause();
    ab.place = at;
    if (plays) start(at);
  });
  let seen = null;
  const follow = () => {
    const box = document.querySelector(".snac-ab");
    if (box !== seen && box && box.offsetParent) box.scrollIntoView({ behavior: "smooth", block: "nearest" });
    seen = box && box.offsetParent ? box : null;
    if (!ab.box) return;
    if (!ab.box.isConnected) return forget();
    if (ab.sources.length && place() >= length()) pause();
    ab.box.querySelector("[data-ab=play]").textContent = ab.sources.length ? "Pause" : "Play";
    ab.box.querySelectorAll("[data-ab]").forEach((one) => one.classList.toggle("snac-on", one.dataset.ab === String(ab.now)));
    ab.box.querySelector("input").value = place() / length();
  };

  document.addEventListener("click", (event) => {
    const button = event.target.closest && event.target.closest("[data-do]");
    if (!button) return;
    const card = button.closest("[data-later]"), later = Number(card ? card.dataset.later : 0);
    const samples = later === 1 ? "1 sample came from it, and stays" : `${later} samples came from it, and stay`;
    const told = later ? ` ${samples}; what was made of it can no longer be compared with it, nor be made again.` : "";
    if (button.dataset.do === "delete" && !confirm("Delete this sample and its files?" + told)) return;
    const every = !document.querySelector(".snac-more");
    set("snac-do", JSON.stringify([button.dataset.do, button.dataset.name, every, Date.now()]));
    if (button.dataset.do === "mark") {  // here alone: a card that was drawn anew would stop what plays
      const star = card.classList.toggle("snac-star");
      [button.textContent, button.title] = star ? ["★", "No longer a favourite"] : ["☆", "Favourite"];
    }
    if (button.dataset.do === "open") document.getElementById("snac-result").scrollIntoView({ behavior: "smooth" });
  });
  return [new URLSearchParams(location.search).get("settings") || ""];
}
