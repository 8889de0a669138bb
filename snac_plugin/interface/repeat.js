// A player whose Repeat is pressed goes round and round without a gap: Web Audio plays its sound, exact to the sample, while the
// player itself moves in silence. gradio's player lies in a shadow, out of which no event of it comes: its `play` is called.
() => {
  const rounds = new Map(), quiets = new WeakMap(), clocks = {};  // by media element, by media element, by sample rate
  window.snacRounds = rounds;
  const PLAYERS = "#snac-player, .snac-card, .snac-players figure";
  const clock = (rate) => (clocks[rate] = clocks[rate] || new AudioContext(rate ? { sampleRate: rate } : {}));
  const pressed = (one) => one.toggle.isConnected && one.toggle.classList.contains("snac-on");
  const at = (one) => (one.at + (one.clock.currentTime - one.began) * one.source.playbackRate.value) % one.sound.duration;
  const press = (toggle, on) => toggle.setAttribute("aria-pressed", toggle.classList.toggle("snac-on", on));
  const follows = (one, media) => {
    one.gain.gain.value = media.muted ? 0 : media.volume;
    one.source.playbackRate.value = media.playbackRate;
  };
  const roundFrom = (one, media, second) => {
    if (one.source) one.source.stop();
    one.source = new AudioBufferSourceNode(one.clock, { buffer: one.sound, loop: true });
    one.source.connect(one.gain);
    follows(one, media);
    Object.assign(one, { at: second % one.sound.duration, began: one.clock.currentTime });
    one.source.start(0, one.at);
  };
  const goTo = (one, media, second) => {
    one.moved = true;
    media.currentTime = second;
  };
  const endRound = (one, media) => {
    if (one.source) {
      if (!media.paused) goTo(one, media, at(one));
      one.source.stop();
    }
    one.source = null;
    media.loop = false;
    if (quiets.has(media)) quiets.get(media).gain.value = 1;
  };
  const beginRound = async (one, media) => {
    const from = media.currentTime, url = media.currentSrc || media.src;
    if (!quiets.has(media)) {
      quiets.set(media, new GainNode(clock(0)));  // for good: a browser lets nobody have an element's sound twice
      clock(0).createMediaElementSource(media).connect(quiets.get(media)).connect(clock(0).destination);
    }
    media.loop = true;
    quiets.get(media).gain.value = 0;
    if (one.url !== url) {
      const bytes = await (await fetch(url)).arrayBuffer(), head = new DataView(bytes);
      one.clock = clock(head.getUint32(0) === 0x52494646 ? head.getUint32(24, true) : 0);  // a wav is not resampled
      one.sound = await one.clock.decodeAudioData(bytes);
      one.gain = new GainNode(one.clock);
      one.gain.connect(one.clock.destination);
      one.url = url;
    }
    if (media.paused || !pressed(one)) return endRound(one, media);
    await Promise.all([one.clock.resume(), clock(0).resume()]);
    roundFrom(one, media, from);
    goTo(one, media, from);
  };
  const goRound = () =>
    rounds.forEach((one, media) => {
      if (media.paused || !pressed(one)) {
        if (media.loop) endRound(one, media);
        if (media.paused && !one.toggle.isConnected) rounds.delete(media);
      } else if (!media.loop)
        beginRound(one, media).catch(() => {  // the file is gone, say: not once more every 200 ms
          press(one.toggle, false);
          endRound(one, media);
        });
      else if (one.source && !media.seeking) {  // the player's own clock
        const apart = Math.abs(media.currentTime - at(one));
        if (Math.min(apart, one.sound.duration - apart) > 0.3) goTo(one, media, at(one));
      }
    });
  const plays = (media) => {
    const root = media.getRootNode(), box = (root instanceof ShadowRoot ? root.host : media).closest(PLAYERS);
    if (!box || !box.querySelector(".snac-repeat")) return;
    const one = rounds.get(media) || {};
    one.toggle = box.querySelector(".snac-repeat");
    if (!rounds.has(media)) {
      rounds.set(media, one);
      ["pause", "emptied"].forEach((name) => { media[`on${name}`] = goRound; });
      media.onvolumechange = media.onratechange = () => one.source && follows(one, media);
      media.onseeking = () => {  // by us, or to 0 as it begins again, or else by its user
        if (one.source && !one.moved && media.currentTime > 0) roundFrom(one, media, media.currentTime);
        one.moved = false;
      };
    }
    setTimeout(goRound);
  };
  document.addEventListener("click", (event) => {
    const toggle = event.target.closest && event.target.closest(".snac-repeat");
    if (!toggle) return;
    press(toggle, !toggle.classList.contains("snac-on"));
    goRound();
  });
  document.addEventListener("play", (event) => plays(event.target), true);
  const playsBy = HTMLMediaElement.prototype.play;
  HTMLMediaElement.prototype.play = function () {
    plays(this);
    return playsBy.call(this);
  };
  setInterval(goRound, 200);
}
