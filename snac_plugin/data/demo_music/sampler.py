"""Play single notes [N] of a SoundFont: pitch, loops, envelopes, vibrato and filter, as the specification describes them."""

import numpy as np
from scipy.fft import next_fast_len
from scipy.signal import lfilter

from .soundfont import SoundFont, SoundFontSample, Zone

DRUM_BANK = 128
_OVERSAMPLING = 2  # of the recordings, so that cubic interpolation stays clean
_LONGEST_RELEASE = 1.5  # seconds


class Sampler:
    """Notes of one SoundFont as mono audio at `sample_rate`; oversampled recordings are cached."""

    def __init__(self, soundfont: SoundFont, sample_rate: int) -> None:
        self.soundfont, self.sample_rate = soundfont, sample_rate
        self._zones: dict[tuple[int, int], list[Zone]] = {}
        self._recordings: dict[tuple[int, int], np.ndarray] = {}

    def note(self, program: int, drums: bool, pitch: int, seconds: float, loudness: float = 1.0) -> np.ndarray:
        """[N] of one note held for `seconds`, with its release; `loudness` (0 to 1) darkens it but leaves the level alone."""
        preset = (DRUM_BANK if drums else 0, program)
        if preset not in self._zones:
            self._zones[preset] = self.soundfont.zones(*preset)
        sounds = [
            self._play(zone, pitch, seconds, loudness)
            for zone in self._zones[preset]
            if zone.low_key <= pitch <= zone.high_key and zone.sample.end > zone.sample.start
        ]
        mix = np.zeros(max((len(sound) for sound in sounds), default=1))
        for sound in sounds:
            mix[: len(sound)] += sound
        return mix

    def _play(self, zone: Zone, pitch: int, seconds: float, loudness: float) -> np.ndarray:
        values, sample, rate = zone.values, zone.sample, self.sample_rate
        root = values["root_key"] if values["root_key"] >= 0 else sample.root_key
        tuning = 100 * values["coarse_tune"] + values["fine_tune"] + sample.correction
        release = min(_LONGEST_RELEASE, max(0.03, _seconds(values["release"])))
        times = np.arange(round((seconds + release) * rate), dtype=np.float32) / np.float32(rate)
        modulation = _modulation_envelope(values, times)
        bend = (
            (values["mod_env_to_pitch"] * modulation if values["mod_env_to_pitch"] else 0.0)
            + _wobble(times, values["mod_lfo_to_pitch"], values["mod_lfo_delay"], values["mod_lfo_frequency"])
            + _wobble(times, values["vibrato_to_pitch"], values["vibrato_delay"], values["vibrato_frequency"])
        )
        step = sample.rate / rate * 2 ** (((pitch - root) * values["scale_tuning"] + tuning + bend) / 1200)
        sound = self._resample(zone, step, len(times))
        times, modulation = times[: len(sound)], modulation[: len(sound)]
        tremolo = _wobble(times, 0.1 * values["mod_lfo_to_volume"], values["mod_lfo_delay"], values["mod_lfo_frequency"])
        decibels = _volume_envelope(values, times, pitch, seconds, release) - 0.04 * values["attenuation"] + tremolo
        sound = _filter(sound, values, modulation, loudness, rate)
        return sound * np.exp(decibels * np.float32(np.log(10) / 20)) * _edges(times, values, seconds + release)

    def _resample(self, zone: Zone, step: np.ndarray | float, count: int) -> np.ndarray:
        """Read `count` samples at speed `step` [count] (source points an output sample), looping; fewer if the recording ends."""
        sample, values = zone.sample, zone.values
        points = self._recording(sample, float(np.max(step)))
        travelled = np.arange(count) * step if isinstance(step, float) else np.cumsum(step, dtype=np.float64) - step
        position = travelled + values["start_offset"]
        start = sample.loop_start + values["loop_start_offset"] - sample.start
        length = sample.loop_end + values["loop_end_offset"] - sample.start - start
        if values["loop_mode"] in (1, 3) and length > 1:
            beyond = int(np.searchsorted(position, start + length))
            position[beyond:] = start + (position[beyond:] - start) % length
        else:
            position = position[position < sample.end - sample.start - 1]
        return _interpolate(points, position * _OVERSAMPLING)

    def _recording(self, sample: SoundFontSample, fastest: float) -> np.ndarray:
        """The recording oversampled, without what would alias at `fastest` source points an output sample."""
        halves = max(0, int(np.ceil(2 * np.log2(fastest))))
        if (sample.index, halves) not in self._recordings:
            points = self.soundfont.points[sample.start : sample.end + 8] / 32768.0
            size = next_fast_len(len(points) + 64, real=True)
            spectrum = np.fft.rfft(points, size)
            keep = min(1.0, 2 ** (-halves / 2) * 1.1) * 0.5  # of the source's rate
            spectrum *= np.clip((keep - np.arange(len(spectrum)) / size) / (0.06 * keep), 0, 1)
            oversampled = np.fft.irfft(spectrum, size * _OVERSAMPLING) * _OVERSAMPLING
            self._recordings[sample.index, halves] = oversampled[: len(points) * _OVERSAMPLING].astype(np.float32)
        return self._recordings[sample.index, halves]


def _seconds(timecents: float) -> float:
    return 0.0 if timecents <= -12000 else 2 ** (timecents / 1200)


def _hertz(cents: float) -> float:
    return 8.176 * 2 ** (cents / 1200)


def _wobble(times: np.ndarray, depth: float, delay: int, frequency: int) -> np.ndarray | float:
    """[N] triangle wave in [-depth, depth] from `delay` (timecents) on, at `frequency` (absolute cents); plain 0 without depth."""
    if not depth:
        return 0.0
    phase = np.maximum(times - _seconds(delay), 0) * _hertz(frequency)
    return depth * (2 * np.abs(2 * ((phase - 0.25) % 1) - 1) - 1)


def _modulation_envelope(values: dict[str, int], times: np.ndarray) -> np.ndarray:
    """[N] in [0, 1]: attack, hold and decay towards the sustain level; its release is inaudible here and left out."""
    attack_end = _seconds(values["mod_delay"]) + max(1e-3, _seconds(values["mod_attack"]))
    hold_end = attack_end + _seconds(values["mod_hold"])
    sustain = 1 - min(1000, max(0, values["mod_sustain"])) / 1000
    decay_end = hold_end + max(1e-3, _seconds(values["mod_decay"])) * (1 - sustain)
    ends = [_seconds(values["mod_delay"]), attack_end, hold_end, max(decay_end, hold_end + 1e-4)]
    return np.interp(times, ends, [0.0, 1.0, 1.0, sustain])


def _volume_envelope(values: dict[str, int], times: np.ndarray, pitch: int, seconds: float, release: float) -> np.ndarray:
    """[N] in decibels: decay and release fall by 100 dB in their stated times (specification, 8.1.3)."""
    hold_end = _seconds(values["delay"]) + _seconds(values["attack"]) + _seconds(values["hold"])
    decay = max(1e-3, _seconds(values["decay"] + values["key_to_decay"] * (60 - pitch)))
    sustain = min(1440, max(0, values["sustain"])) / 10
    level = np.maximum(-sustain, -100 / decay * np.maximum(times - hold_end, 0))
    return level - 100 / release * np.maximum(times - seconds, 0)


def _edges(times: np.ndarray, values: dict[str, int], end: float) -> np.ndarray:
    """[N] in [0, 1]: the attack, and no click where the sound stops."""
    attack = max(5e-4, _seconds(values["attack"]))
    stop = min(end, times[-1]) if len(times) else end
    return np.clip((times - _seconds(values["delay"])) / attack, 0, 1) * np.clip((stop - times) / 0.005, 0, 1)


def _filter(sound: np.ndarray, values: dict[str, int], modulation: np.ndarray, loudness: float, rate: int) -> np.ndarray:
    """Low-pass; softer notes are darker (specification, 8.4.2). The moving cutoff is a blend of its two extremes."""
    rest = values["filter_cutoff"] - 2400 * (1 - loudness)
    still = _low_pass(sound, rest, values["filter_resonance"], rate)
    if abs(values["mod_env_to_filter"]) < 200:
        return still
    peak = _low_pass(sound, rest + values["mod_env_to_filter"], values["filter_resonance"], rate)
    return still + modulation * (peak - still)


def _low_pass(sound: np.ndarray, cents: float, resonance: int, rate: int) -> np.ndarray:
    """Second-order low-pass (R. Bristow-Johnson, Audio EQ Cookbook)."""
    if cents >= 13400 or _hertz(cents) > 0.45 * rate:
        return sound
    quality = 0.7071 * 10 ** (min(resonance, 200) / 200)
    angle = 2 * np.pi * max(60.0, _hertz(cents)) / rate
    alpha, cosine = np.sin(angle) / (2 * quality), np.cos(angle)
    numerator = np.array([1 - cosine, 2 - 2 * cosine, 1 - cosine]) / 2
    denominator = np.array([1 + alpha, -2 * cosine, 1 - alpha])
    return lfilter(numerator / denominator[0], denominator / denominator[0], sound)


def _interpolate(points: np.ndarray, position: np.ndarray) -> np.ndarray:
    """Catmull-Rom interpolation of `points` at fractional positions [N]."""
    index = np.clip(position.astype(np.int32), 1, len(points) - 3)
    x = (position - index).astype(np.float32)
    before, here, after, beyond = (points[index + offset] for offset in (-1, 0, 1, 2))
    slope, slope_after = (after - before) / 2, (beyond - here) / 2
    rise = here - after
    return here + x * (slope + x * (-3 * rise - 2 * slope - slope_after + x * (2 * rise + slope + slope_after)))
