//! The `aikv` binary: command line, start of the shards, signals.

use std::process::ExitCode;

use aikv::config::cli::{self, Request};
use aikv::engine::Conflict;
use aikv::{engine, shard};

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
        Ok(Request::Serve(config)) => shard::run(*config),
        Ok(Request::Backup { dir, to }) => engine::backup(&dir, &to),
        Ok(Request::Restore { from, dir, until }) => engine::restore(&from, &dir, until),
        Ok(Request::Import {
            file,
            replace,
            config,
        }) => {
            let conflict = if replace {
                Conflict::Replace
            } else {
                Conflict::Refuse
            };
            engine::import(&file, &config, conflict)
        }
        Ok(Request::Export { file, config }) => engine::export(&file, &config),
        Ok(Request::Check { dir, repair }) => engine::check(&dir, repair),
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
