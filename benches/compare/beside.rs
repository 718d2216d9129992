//! How long others wait while a slow script runs on their shard.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::args::Args;
use crate::server::{Client, Server};
use crate::{Result, SERVER_CORE, cases};

const SCRIPT: &str = "local x = 0 for i = 1, tonumber(ARGV[1]) do x = x + i % 7 end return x";
/// How long the script shall take, and how many loops are run to learn how many that needs.
const WANTED: Duration = Duration::from_secs(2);
const PROBE_LOOPS: u64 = 2_000_000;
/// Between two GETs, so that the client's own load does not count.
const PAUSE: Duration = Duration::from_millis(1);

/// Of the GETs beside one script.
#[derive(Clone, Copy, Debug, Default)]
pub struct Delays {
    pub p50: Duration,
    pub p99: Duration,
    pub longest: Duration,
}

/// One round: redis-server and `AiKv`. Who goes first alternates.
pub fn measure_round(args: &Args, round: usize) -> Result<[Delays; 2]> {
    let mut delays = [Delays::default(); 2];
    let mut order = [(0, &args.redis), (1, &args.aikv)];
    if round % 2 == 1 {
        order.reverse();
    }
    for (side, binary) in order {
        delays[side] = measure(binary)?;
        eprintln!("round {}: {:?}", round + 1, delays[side]);
    }
    Ok(delays)
}

fn measure(binary: &Path) -> Result<Delays> {
    let server = Server::start(binary, SERVER_CORE, 1)?;
    server.fill(1, &["SET", "other", cases::VALUE])?;
    let mut runner = Client::connect(server.port)?;
    let mut run = |loops: u64| runner.call(&["EVAL", SCRIPT, "1", "script", &loops.to_string()]);
    let start = Instant::now();
    run(PROBE_LOOPS)?;
    let loops = PROBE_LOOPS as f64 * WANTED.as_secs_f64() / start.elapsed().as_secs_f64();
    let port = server.port;
    let mut waits = std::thread::scope(|scope| -> Result<Vec<Duration>> {
        let watcher = scope.spawn(move || watch(port).map_err(|error| error.to_string()));
        run(loops as u64)?;
        Ok(watcher.join().expect("the watcher does not panic")?)
    })?;
    server.stop()?;
    waits.sort_unstable();
    let at = |part: f64| waits[((waits.len() - 1) as f64 * part) as usize];
    Ok(Delays {
        p50: at(0.5),
        p99: at(0.99),
        longest: at(1.0),
    })
}

/// GETs, one after the other, until the script is over.
fn watch(port: u16) -> Result<Vec<Duration>> {
    let mut client = Client::connect(port)?;
    let mut waits = Vec::new();
    let start = Instant::now();
    // The script has begun by then, and has a little left at the end.
    std::thread::sleep(WANTED / 10);
    while start.elapsed() < WANTED * 8 / 10 {
        let asked = Instant::now();
        client.call(&["GET", "other"])?;
        waits.push(asked.elapsed());
        std::thread::sleep(PAUSE);
    }
    Ok(waits)
}
