//! The `aikv` binary: command line, start of the shards, signals.

use std::process::ExitCode;

use aikv::config::cli::{self, Request};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// What a wrong option or value ends with, as the tools of the system do.
const EXIT_USAGE: u8 = 2;

fn main() -> ExitCode {
    match cli::parse(std::env::args_os()) {
        Ok(Request::Print(text)) => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        Ok(Request::Serve(_) | Request::Check { .. }) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("aikv: {error}");
            ExitCode::from(EXIT_USAGE)
        }
    }
}
