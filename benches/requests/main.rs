//! What requests cost without their sockets: nanoseconds of each stage, and instructions that are checked against a budget.
//!
//! `cargo bench --bench requests` prints the stages of a request. `cargo bench --bench requests -- --count` has callgrind
//! count the instructions of fixed scenarios and fails where one takes more than its budget; `--bless` writes new budgets.
//! Instructions do not depend on what else the machine does, nor much on which machine it is.

mod count;
mod scenario;
mod stages;

use std::process::ExitCode;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let outcome = match args.as_slice() {
        // `cargo bench` adds `--bench`; `cargo test` of all targets wants no measurement.
        [] => Ok(()),
        ["--bench"] => stages::print(),
        ["--count", "--bench"] => count::check(false),
        ["--count", "--bless", "--bench"] => count::check(true),
        ["--scenario", name] => scenario::run_once(name),
        _ => Err("usage: cargo bench --bench requests [-- --count [--bless]]".into()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("requests: {error}");
            ExitCode::FAILURE
        }
    }
}
