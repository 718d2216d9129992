//! LATENCY GRAPH: the latest samples as columns of characters, the age of each written downwards below it.

use crate::observe::latency::{Latest, Sample};
use std::fmt::Write;

/// Samples that fit in a line.
const COLUMNS: usize = 80;
const ROWS: usize = 4;
/// A row is this finely divided, from low to high.
const LEVELS: [char; 3] = ['_', 'o', '#'];
/// What stands below a column's top.
const BELOW: char = '|';

/// Draws the samples of an event, oldest first.
pub fn draw(event: &Latest, samples: &[Sample], now_s: u64) -> String {
    let shown = &samples[samples.len().saturating_sub(COLUMNS)..];
    let values = || shown.iter().map(|sample| sample.latency_ms);
    let (low, high) = (values().min().unwrap_or(0), values().max().unwrap_or(0));
    let mut text = String::new();
    // Writing to a String does not fail.
    let _ = writeln!(
        text,
        "{} - high {high} ms, low {low} ms (all time high {} ms)",
        event.event, event.max_ms
    );
    let _ = writeln!(text, "{}", "-".repeat(COLUMNS));
    let steps = ROWS * LEVELS.len();
    let height = |sample: &Sample| {
        let share = (sample.latency_ms - low) * steps as u64 / (high - low).max(1);
        (share as usize).min(steps - 1)
    };
    for row in (0..ROWS).rev() {
        let floor = row * LEVELS.len();
        text.extend(
            shown
                .iter()
                .map(|sample| match height(sample).checked_sub(floor) {
                    None => ' ',
                    Some(level) => LEVELS.get(level).copied().unwrap_or(BELOW),
                }),
        );
        text.push('\n');
    }
    let ages: Vec<Vec<char>> = shown
        .iter()
        .map(|s| age(now_s.saturating_sub(s.unix_time_s)).chars().collect())
        .collect();
    text.push_str(&" ".repeat(shown.len()));
    text.push('\n');
    for line in 0..ages.iter().map(Vec::len).max().unwrap_or(0) {
        text.extend(ages.iter().map(|age| age.get(line).copied().unwrap_or(' ')));
        text.push('\n');
    }
    text
}

/// A span of time in its largest unit.
fn age(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m", seconds / 60),
        3_600..86_400 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_rise_with_the_latency() {
        let sample = |unix_time_s, latency_ms| Sample {
            unix_time_s,
            latency_ms,
        };
        let samples = [sample(9_000, 10), sample(99_990, 16), sample(100_000, 22)];
        let event = Latest {
            event: "command",
            last: samples[2],
            max_ms: 30,
        };
        let lines = [
            "command - high 22 ms, low 10 ms (all time high 30 ms)",
            &"-".repeat(COLUMNS),
            "  #",
            " _|",
            " ||",
            "_||",
            "   ",
            "110",
            "d0s",
            " s ",
            "",
        ];
        assert_eq!(draw(&event, &samples, 100_000), lines.join("\n"));
    }
}
