//! The log: one line per event on standard output or in a file, with a level that can be changed while running.

use std::fs::OpenOptions;
use std::io;
use std::path::Path;
use std::sync::Mutex;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::fmt;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::reload;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry};

/// Changes the level of the log.
#[derive(Clone)]
pub struct LogControl {
    level: reload::Handle<LevelFilter, Registry>,
}

impl LogControl {
    pub fn set_level(&self, level: LevelFilter) -> Result<(), String> {
        self.level.reload(level).map_err(|error| error.to_string())
    }
}

/// Starts the log of this process; to be called once. Without a file it goes to standard output.
pub fn init(level: LevelFilter, file: Option<&Path>) -> io::Result<LogControl> {
    let (filter, handle) = reload::Layer::new(level);
    let lines = match file {
        Some(path) => {
            let file = OpenOptions::new().create(true).append(true).open(path)?;
            fmt::layer()
                .with_ansi(false)
                .with_writer(Mutex::new(file))
                .boxed()
        }
        None => fmt::layer()
            .with_ansi(false)
            .with_writer(io::stdout)
            .boxed(),
    };
    tracing_subscriber::registry()
        .with(filter)
        .with(lines)
        .try_init()
        .map_err(io::Error::other)?;
    Ok(LogControl { level: handle })
}
