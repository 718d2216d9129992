//! Instructions of each scenario against its budget.

use std::fmt::Write;
use std::fs;
use std::process::Command;

use crate::Result;
use crate::scenario::{NAMES, REQUESTS};

/// What a scenario may take above its budget: libraries and compilers of one machine and another differ so much.
const TOLERANCE: f64 = 0.03;
const BUDGETS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/requests/budgets.txt");

/// Counts each scenario; an error names those that are over their budgets. `bless` makes what was counted the budget.
pub fn check(bless: bool) -> Result<()> {
    let budgets = fs::read_to_string(BUDGETS).unwrap_or_default();
    let (mut written, mut over) = (String::new(), Vec::new());
    println!(
        "{:<24}{:>14}{:>10}{:>8}",
        "scenario", "instructions", "budget", "ratio"
    );
    for name in NAMES {
        let counted = count(name)?;
        let budget = budget_of(&budgets, name);
        let ratio = budget.map_or(1.0, |budget| counted / budget);
        println!(
            "{name:<24}{counted:>14.0}{:>10.0}{ratio:>8.3}",
            budget.unwrap_or_default()
        );
        let _ = writeln!(written, "{name} = {counted:.0}");
        if budget.is_none() || ratio > 1.0 + TOLERANCE {
            over.push(name);
        }
    }
    if bless {
        fs::write(BUDGETS, written)?;
        return Ok(());
    }
    if over.is_empty() {
        return Ok(());
    }
    Err(format!(
        "more instructions than benches/requests/budgets.txt allows: {}",
        over.join(", ")
    )
    .into())
}

/// The instructions of one request.
fn count(name: &str) -> Result<f64> {
    let dir = tempfile::tempdir()?;
    let counts = dir.path().join("counts");
    let output = Command::new("valgrind")
        .args([
            "--tool=callgrind",
            "--toggle-collect=*requests::scenario::watched_*",
        ])
        .arg(format!("--callgrind-out-file={}", counts.display()))
        .arg(std::env::current_exe()?)
        .args(["--scenario", name])
        .output()
        .map_err(|error| format!("valgrind cannot be started: {error}"))?;
    if !output.status.success() {
        let error = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{name} under valgrind: {}", error.trim()).into());
    }
    let counts = fs::read_to_string(counts)?;
    let total = counts
        .lines()
        .find_map(|line| line.strip_prefix("totals: "));
    let total: f64 = total.ok_or("callgrind wrote no totals")?.trim().parse()?;
    if total == 0.0 {
        return Err("callgrind saw nothing of the scenario".into());
    }
    Ok(total / REQUESTS as f64)
}

fn budget_of(budgets: &str, name: &str) -> Option<f64> {
    let lines = budgets.lines().filter_map(|line| line.split_once(" = "));
    let mut found = lines.filter(|(of, _)| *of == name);
    found.next()?.1.parse().ok()
}
