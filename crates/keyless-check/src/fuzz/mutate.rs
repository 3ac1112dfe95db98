//! Inputs that are nearly right: seeds with some damage, decided by a number alone.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// What parsers trip over.
const TRICKY: [&str; 40] = [
    "",
    "null",
    "true",
    "-1",
    "0",
    "1e999",
    "18446744073709551616",
    "NaN",
    "{}",
    "[]",
    "\"\"",
    "\\u0000",
    "\u{0}",
    "\u{feff}",
    "İ",
    "ſ",
    "K",
    "𝕊",
    "\\ud800",
    "%2f",
    "%00",
    "..",
    "//",
    "/",
    "?",
    "#",
    "*",
    "&a",
    "*a",
    "<<: *a",
    "- ",
    ": ",
    "---\n",
    "\t",
    "\r\n",
    "9999-12-31T23:59:60Z",
    "P1D",
    "99999999999999d",
    "'",
    "\"",
];

/// Input `number` of a seed; at most `longest` bytes.
pub(super) fn mutated(seeds: &[Vec<u8>], seed: u64, number: u64, longest: usize) -> Vec<u8> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    random.set_stream(number);
    let Some(first) = pick(seeds, &mut random) else { return Vec::new() };
    let mut input = first.clone();
    for _ in 0..random.random_range(1..=8u8) {
        damage(&mut input, seeds, &mut random);
        input.truncate(longest);
    }
    input
}

fn pick<'a, T>(from: &'a [T], random: &mut ChaCha8Rng) -> Option<&'a T> {
    if from.is_empty() { None } else { from.get(random.random_range(0..from.len())) }
}

/// Some bytes of `of`, as a range of it.
fn part(of: &[u8], random: &mut ChaCha8Rng) -> std::ops::Range<usize> {
    let from = random.random_range(0..=of.len());
    let most = (of.len() - from).min(64);
    from..from + random.random_range(0..=most)
}

fn damage(input: &mut Vec<u8>, seeds: &[Vec<u8>], random: &mut ChaCha8Rng) {
    let range = part(input, random);
    match random.random_range(0..9u8) {
        // One bit.
        0 => {
            if let Some(byte) = input.get_mut(range.start) {
                *byte ^= 1 << random.random_range(0..8u8);
            }
        }
        // Any byte.
        1 => {
            if let Some(byte) = input.get_mut(range.start) {
                *byte = random.random();
            }
        }
        // Something is gone.
        2 => drop(input.drain(range)),
        // Something is there twice, or many times.
        3 => {
            let again = input.get(range.clone()).unwrap_or_default().repeat(random.random_range(1..=20));
            drop(input.splice(range.start..range.start, again));
        }
        // Something tricky is put in, or stands for something.
        4 => {
            let tricky = pick(&TRICKY, random).copied().unwrap_or_default();
            drop(input.splice(range.start..range.start, tricky.bytes()));
        }
        5 => {
            let tricky = pick(&TRICKY, random).copied().unwrap_or_default();
            drop(input.splice(range, tricky.bytes()));
        }
        // It breaks off.
        6 => input.truncate(range.start),
        // A part of another one.
        7 => {
            let Some(other) = pick(seeds, random) else { return };
            let from = part(other, random);
            let other = other.get(from).unwrap_or_default().to_vec();
            drop(input.splice(range, other));
        }
        // Deeply nested.
        _ => {
            let (open, close) = *pick(&[("[", "]"), ("{\"a\":", "}"), ("(", ")")], random).unwrap_or(&("[", "]"));
            let depth = random.random_range(1..=400);
            drop(input.splice(range.end..range.end, close.repeat(depth).into_bytes()));
            drop(input.splice(range.start..range.start, open.repeat(depth).into_bytes()));
        }
    }
}
