//! The flags of the comparison.

use std::path::PathBuf;

use crate::Result;

const USAGE: &str = "\
usage: cargo bench --bench compare -- [flags]
  --rounds N         alternating rounds, at least 3 for a figure that counts [3]
  --requests N       unpipelined requests of a case [200000]
  --only TEXT        only cases whose name contains this, several with commas
  --write PATH       also write the page there
  --redis PATH       redis-server to compare with [redis-server]
  --aikv PATH        server to measure [the one of this build]";

pub struct Args {
    pub rounds: usize,
    pub requests: u64,
    pub only: Vec<String>,
    pub write: Option<PathBuf>,
    pub redis: PathBuf,
    pub aikv: PathBuf,
}

impl Args {
    pub fn parse(args: impl Iterator<Item = String>) -> Result<Self> {
        let mut parsed = Self {
            rounds: 3,
            requests: 200_000,
            only: Vec::new(),
            write: None,
            redis: "redis-server".into(),
            aikv: env!("CARGO_BIN_EXE_aikv").into(),
        };
        // `cargo bench` adds `--bench` for programs with a harness.
        let mut args = args.filter(|arg| arg != "--bench");
        while let Some(flag) = args.next() {
            if flag == "--help" {
                return Err(USAGE.into());
            }
            let value = args.next().ok_or(USAGE)?;
            match flag.as_str() {
                "--rounds" => parsed.rounds = value.parse()?,
                "--requests" => parsed.requests = value.parse()?,
                "--only" => {
                    parsed.only = value.to_lowercase().split(',').map(str::to_owned).collect();
                }
                "--write" => parsed.write = Some(value.into()),
                "--redis" => parsed.redis = value.into(),
                "--aikv" => parsed.aikv = value.into(),
                _ => return Err(USAGE.into()),
            }
        }
        if parsed.rounds == 0 || parsed.requests == 0 {
            return Err(USAGE.into());
        }
        Ok(parsed)
    }

    pub fn wants(&self, case: &str) -> bool {
        let case = case.to_lowercase();
        self.only.is_empty() || self.only.iter().any(|part| case.contains(part))
    }
}
