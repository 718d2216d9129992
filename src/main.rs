//! The `aikv` binary: command line, start of the shards, signals.

use std::path::Path;
use std::process::ExitCode;

use aikv::config::Config;
use aikv::config::cli::{self, Request};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// What a wrong option or value ends with, as the tools of the system do.
const EXIT_USAGE: u8 = 2;

fn main() -> ExitCode {
    let outcome = match cli::parse(std::env::args_os()) {
        Ok(Request::Print(text)) => {
            print!("{text}");
            Ok(())
        }
        Ok(Request::Serve(config)) => serve(*config),
        Ok(Request::Check { dir, repair }) => check(&dir, repair),
        Err(error) => {
            eprintln!("aikv: {error}");
            return ExitCode::from(EXIT_USAGE);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("aikv: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Runs the server until a signal ends it.
fn serve(config: Config) -> Result<(), String> {
    drop(config);
    Err("this build has no shards to serve with".to_owned())
}

/// Shows what is wrong with a data directory, and mends it if that was asked for.
fn check(dir: &Path, _repair: bool) -> Result<(), String> {
    Err(format!(
        "this build has no store to check {} with",
        dir.display()
    ))
}
