//! Budgets of instructions: exact, and the same in every run.

use super::*;

/// Where a script ends that may run so many instructions, and how often it has called until then.
fn end(bench: &mut Bench, body: &str, instructions: u64) -> (Result<(), u64>, usize, String) {
    let body = format!("#!lua max-instructions={instructions}\n{body}");
    bench.host.calls.clear();
    let mut run = bench.start(&body, &[], &[]);
    let mut out = Recorder::new(Protocol::Resp3);
    loop {
        let step = run.resume(&mut bench.host, &mut out);
        let calls = bench.host.calls.len();
        let place = run.place();
        let place = place.rsplit(':').next().unwrap_or_default().to_owned();
        match step {
            Step::Done => return (Ok(()), calls, place),
            Step::Aborted(AbortReason::OutOfInstructions(limit)) => {
                return (Err(limit), calls, place);
            }
            Step::Preempted | Step::WaitForLock => {}
            step => panic!("{body}: {step:?}"),
        }
    }
}

#[test]
fn the_budget_is_exact() {
    let mut bench = Bench::new(Dialect::Aikv);
    let body = "local n = 0 for i = 1, 700 do n = n + i end redis.call('GET', 'k') return n";
    let needed = (1..10_000).find(|n| end(&mut bench, body, *n).0.is_ok());
    let needed = needed.expect("it needs a few instructions for each round");
    assert!(needed > 1400, "{needed}");
    for instructions in [needed, needed + 1, 10 * needed] {
        let (ended, calls, _) = end(&mut bench, body, instructions);
        assert_eq!((ended, calls), (Ok(()), 1));
    }
    let (ended, _, place) = end(&mut bench, body, needed - 1);
    assert_eq!((ended, place.as_str()), (Err(needed - 1), "2."));
}

#[test]
fn the_same_run_ends_at_the_same_instruction_however_often_it_is_suspended() {
    for body in [
        "while true do redis.call('GET', 'k') end",
        "while true do
            redis.call('WAIT')
            pcall(function() local s = ('x'):rep(20):gsub('x', function(c) return redis.call('GET', c) end) end)
            table.sort({3, 1, 2}, function(a, b) return a < b end)
            local t = {} for i = 1, 50 do t[i] = tostring(i) end
        end",
        "local m = setmetatable({}, {__index = function(_, k) redis.pcall('GET', k) return k end})
        local n = 0 while true do n = n + m[n] end",
    ] {
        for instructions in [1, 2, 999, 1000, 1001, 54_321, 3_000_000] {
            let mut ends = (0..3).map(|round| {
                let mut bench = Bench::new(Dialect::Aikv);
                bench.host.waits = 5 * round;
                let (ended, mut calls, place) = end(&mut bench, body, instructions);
                // A command that had to wait was called twice.
                calls -= 5 * round - bench.host.waits;
                (ended, calls, place)
            });
            let first = ends.next().expect("three rounds");
            assert_eq!(first.0, Err(instructions), "{body}");
            assert!(ends.all(|end| end == first), "{body} with {instructions}");
        }
    }
}

#[test]
fn nothing_catches_the_end_of_the_budget() {
    let mut bench = Bench::new(Dialect::Aikv);
    for body in [
        "while true do pcall(function() while true do end end) redis.call('GET', 'caught') end",
        "while true do
            pcall(tostring, setmetatable({}, {__tostring = function() while true do end end}))
            redis.call('GET', 'caught')
        end",
    ] {
        let (ended, calls, _) = end(&mut bench, body, 100_000);
        assert_eq!((ended, calls), (Err(100_000), 0), "{body}");
    }
}

/// What a library function does in one call is no instruction; its slices end as ever.
#[test]
fn library_functions_are_suspended_under_a_budget() {
    let mut bench = Bench::new(Dialect::Aikv);
    let body = "#!lua max-instructions=100\nreturn (('a'):rep(3000):find('a-a-a-a-b'))";
    let mut run = bench.start(body, &[], &[]);
    let mut out = Recorder::new(Protocol::Resp3);
    for _ in 0..3 {
        assert_eq!(run.resume(&mut bench.host, &mut out), Step::Preempted);
    }
}

#[test]
fn the_next_run_in_the_machine_is_not_counted() {
    let mut bench = Bench::new(Dialect::Aikv);
    let loops = "local n = 0 for i = 1, 100000 do n = i end return n";
    for _ in 0..2 {
        assert_eq!(end(&mut bench, "return 1", 100).0, Ok(()));
        assert_eq!(end(&mut bench, loops, 100).0, Err(100));
        assert_eq!(bench.value(loops), int(100_000));
    }
}
