//! The only place that reads the system's clocks.

use std::sync::OnceLock;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Microseconds since the Unix epoch.
pub fn unix_us() -> i64 {
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(elapsed) => elapsed.as_micros() as i64,
        Err(before) => -(before.duration().as_micros() as i64),
    }
}

/// Milliseconds since the Unix epoch.
pub fn unix_ms() -> i64 {
    unix_us() / 1000
}

/// Microseconds since the process first asked; never goes backwards.
pub fn monotonic_us() -> u64 {
    monotonic_us_at(Instant::now())
}

/// A moment on the clock of [`monotonic_us`]; zero, where it is from before that began.
pub fn monotonic_us_at(moment: Instant) -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    let start = START.get_or_init(|| moment);
    moment.saturating_duration_since(*start).as_micros() as u64
}
