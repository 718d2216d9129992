//! `aikv check`: a data directory looked at, and mended if the operator says so.

use aidb::{CheckReport, Recovery};
use std::io::Write;
use std::path::Path;

/// Shows what is wrong with a data directory. With `repair` the operator is asked whether damage shall be cut off.
pub fn check(dir: &Path, repair: bool) -> Result<(), String> {
    let mut confirm = |report: &CheckReport| {
        show(report);
        repair && ask("Cut the journal off at the bad place? What follows it is lost. [y/N] ")
    };
    let report = aidb::check(dir, &aidb::fs::RealFileSystem, &mut confirm);
    let report = report.map_err(|error| error.to_string())?;
    if report.repaired {
        println!("repaired: the journal ends before the bad place");
        return Ok(());
    }
    if let Some(damage) = report.damage {
        return Err(format!("{damage} (aikv check --repair cuts it off)"));
    }
    show(&report);
    println!("the directory is sound");
    Ok(())
}

fn show(report: &CheckReport) {
    let Recovery {
        batches,
        records,
        bytes,
        tables,
        segments,
        last,
        clean,
        cut,
    } = &report.recovery;
    println!(
        "{tables} tables, {segments} segments with {batches} batches; {bytes} bytes, {records} records; the last batch is number {last}"
    );
    println!(
        "closed in good order: {}",
        if *clean { "yes" } else { "no" }
    );
    if let Some(cut) = cut {
        println!(
            "bad place: {} at offset {}: {}; {} bytes from there on, {} intact frames among them",
            cut.file.display(),
            cut.offset,
            cut.what,
            cut.bytes,
            cut.later_frames
        );
    }
}

fn ask(question: &str) -> bool {
    print!("{question}");
    let mut answer = String::new();
    let asked = std::io::stdout()
        .flush()
        .and_then(|()| std::io::stdin().read_line(&mut answer));
    asked.is_ok() && matches!(answer.trim(), "y" | "Y" | "yes")
}
