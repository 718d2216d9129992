//! A line that says how far a long job is, and how long it will take.

use indicatif::{ProgressBar, ProgressStyle};

/// Shown on a terminal only; ends with the value.
pub struct Progress(ProgressBar);

impl Progress {
    /// `of` is the whole, in bytes.
    pub fn bytes(what: &'static str, of: u64) -> Progress {
        Progress::new(what, of, "{bytes} of {total_bytes}, {bytes_per_sec}")
    }

    pub fn keys(what: &'static str, of: u64) -> Progress {
        Progress::new(what, of, "{human_pos} of {human_len} keys, {per_sec}")
    }

    fn new(what: &'static str, of: u64, counts: &str) -> Progress {
        let template = format!("{{prefix}} {{percent}} % [{{bar:30}}] {counts}, {{eta}} left");
        let style = ProgressStyle::with_template(&template).expect("the template is well formed");
        let bar = ProgressBar::new(of).with_style(style.progress_chars("=> "));
        bar.set_prefix(what);
        Progress(bar)
    }

    pub fn set(&self, done: u64) {
        self.0.set_position(done);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
