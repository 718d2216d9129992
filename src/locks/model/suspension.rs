//! Work suspends, its pass ends, and at that moment another shard wants the gate alone. Whoever
//! looks at the suspending shard must not see the pass gone and the hold not yet there.

use std::sync::Arc;

use super::gate::{Gate, GateAcquire, GateHold};
use super::harness::{Mailbox, pause};
use super::host::{WaiterId, Wake};
use super::simulation::Presence;

#[derive(Default)]
struct Site {
    mailboxes: [Mailbox; 2],
    keyspace: Presence,
}

impl Wake for Site {
    fn wake(&self, waiter: WaiterId) {
        self.mailboxes[waiter.shard as usize].push(waiter.token);
    }
}

#[test]
fn suspended_work_is_never_overlooked() {
    super::check(scenario);
}

fn scenario() {
    let gate = Arc::new(Gate::new(2, Site::default()));
    let suspending = Arc::clone(&gate);
    let thread = shuttle::thread::spawn(move || suspend(&suspending, 0));
    let hold = granted(
        &gate,
        1,
        gate.acquire_exclusive(WaiterId { shard: 1, token: 0 }),
    );
    work(&gate, hold);
    thread.join().unwrap();
    assert_eq!(gate.stats().held, 0);
    assert!(gate.enter(0) && gate.enter(1));
}

fn suspend(gate: &Gate<Site>, shard: u32) {
    let hold = if gate.enter(shard) {
        gate.hold(shard)
    } else {
        granted(gate, shard, gate.wait(WaiterId { shard, token: 0 }))
    };
    gate.leave(shard);
    work(gate, hold);
}

fn granted(gate: &Gate<Site>, shard: u32, answer: GateAcquire) -> GateHold {
    match answer {
        GateAcquire::Granted(hold) => hold,
        GateAcquire::Queued(ticket) => {
            gate.host().mailboxes[shard as usize].take(true);
            gate.claim(ticket).expect("woken, not granted")
        }
    }
}

fn work(gate: &Gate<Site>, hold: GateHold) {
    let mode = hold.mode();
    gate.host().keyspace.come(mode);
    pause();
    gate.host().keyspace.go(mode);
    gate.release(hold);
}
