//! Figures per second, averaged over the last samples as Redis does.

use super::counters::Totals;

/// How often [`super::Observer::sample`] is to be called.
pub const SAMPLES_PER_SECOND: u64 = 10;
/// Samples that are averaged.
const WINDOW: usize = 16;

/// The three rates of INFO.
#[derive(Debug, Default)]
pub struct Rates {
    commands: Rate,
    input_bytes: Rate,
    output_bytes: Rate,
}

impl Rates {
    pub(super) fn sample(&mut self, now_ms: u64, totals: &Totals) {
        self.commands.sample(now_ms, totals.commands_processed);
        self.input_bytes.sample(now_ms, totals.net_input_bytes);
        self.output_bytes.sample(now_ms, totals.net_output_bytes);
    }

    pub fn commands_per_second(&self) -> u64 {
        self.commands.per_second()
    }

    pub fn input_kib_per_second(&self) -> f64 {
        self.input_bytes.per_second() as f64 / 1024.0
    }

    pub fn output_kib_per_second(&self) -> f64 {
        self.output_bytes.per_second() as f64 / 1024.0
    }
}

#[derive(Debug, Default)]
struct Rate {
    last: Option<(u64, u64)>,
    window: [u64; WINDOW],
    next: usize,
}

impl Rate {
    fn sample(&mut self, now_ms: u64, count: u64) {
        if let Some((then_ms, before)) = self.last
            && now_ms > then_ms
        {
            // After a reset the count begins anew below what it was.
            self.window[self.next] = count.saturating_sub(before) * 1_000 / (now_ms - then_ms);
            self.next = (self.next + 1) % WINDOW;
        }
        self.last = Some((now_ms, count));
    }

    fn per_second(&self) -> u64 {
        self.window.iter().sum::<u64>() / WINDOW as u64
    }
}
