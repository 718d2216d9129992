//! Interrupts scripts that run longer than a slice, at no cost to those that do not.
//!
//! A count hook makes plain Lua 2.3 times slower, so a script runs without one. One thread for all shards looks every
//! slice at what each shard runs. If it is still the same resume as a slice before, the thread sends that shard's
//! thread a signal, whose handler sets a hook for the very next instruction; the hook removes itself, and suspends
//! the script. So even a script of many slices runs almost all of its instructions without a hook.
//!
//! Unsafe code, because `lua_sethook` walks the list of active calls: it may interrupt the thread that runs the state
//! (that is what a signal does, and what Lua allows), but from another thread it would race with that thread freeing
//! parts of the list. SIGURG, because it is ignored by default, so a stray one is harmless (Go's runtime
//! uses it for the same purpose).
//!
//! Why the handler can never meet a state that is gone, or a later run: [`Slot::state`] is a number that is unique to
//! the resume, plus two bits. The watchdog must set SIGNALLED on exactly the number that it saw before it may send; the
//! shard can leave only by replacing the number without SIGNALLED, so it waits for a handler that is on its way. No
//! signal therefore outlives its resume, nor interrupts a system call of whatever the shard does next.

use std::cell::Cell;
use std::io;
use std::marker::PhantomData;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, Ordering};
use std::thread::{self, JoinHandle, Thread};
use std::time::Duration;

use mlua::ffi;
use parking_lot::Mutex;

use super::turn::slice_end;

/// The thread that ends slices. Dropping it leaves running scripts uninterrupted.
pub struct Watchdog {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Watchdog {
    /// A script is suspended after one to two `slice`s.
    pub fn start(slice: Duration) -> io::Result<Self> {
        install_handler()?;
        let shared = Arc::new(Shared {
            slots: Mutex::new(Vec::new()),
            parked: AtomicBool::new(false),
            stopped: AtomicBool::new(false),
            thread: Mutex::new(None),
        });
        let watched = Arc::clone(&shared);
        let thread = thread::Builder::new()
            .name("script-watchdog".into())
            .spawn(move || watched.watch(slice))?;
        *shared.thread.lock() = Some(thread.thread().clone());
        Ok(Self {
            shared,
            thread: Some(thread),
        })
    }

    /// Puts the calling thread under watch. It is the only one that may run scripts with the result.
    pub fn register(&self) -> Registration {
        unblock_signal();
        let slot = Arc::new(Slot {
            state: AtomicU64::new(0),
            seen: AtomicU64::new(0),
            lua: AtomicPtr::new(ptr::null_mut()),
            is_counted: AtomicBool::new(false),
            is_due: AtomicBool::new(false),
            // SAFETY: gettid has no preconditions.
            tid: unsafe { libc::gettid() },
        });
        self.shared.slots.lock().push(Arc::clone(&slot));
        Registration {
            shared: Arc::clone(&self.shared),
            slot,
            thread_bound: PhantomData,
        }
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            let _ = thread.join();
        }
    }
}

/// A shard's place in the watchdog's list; lives and is used on that shard's thread.
pub struct Registration {
    shared: Arc<Shared>,
    slot: Arc<Slot>,
    thread_bound: PhantomData<*const ()>,
}

impl Registration {
    /// The thread is about to resume `lua`. Nothing else may happen to `lua` until [`Self::leave`]. Where a hook counts the
    /// instructions of the script, its slice does not end by another hook: that one asks [`is_due`].
    #[inline]
    pub(super) fn enter(&self, lua: *mut ffi::lua_State, is_counted: bool) {
        let slot = &*self.slot;
        slot.is_counted.store(is_counted, Ordering::Relaxed);
        if is_counted {
            slot.is_due.store(false, Ordering::Relaxed);
        }
        slot.lua.store(lua, Ordering::Relaxed);
        WATCHED.set(ptr::from_ref(slot));
        let number = slot.state.load(Ordering::Relaxed);
        debug_assert_eq!(number & FLAGS, 0, "one script at a time on a thread");
        // A swap, since it is also the barrier between this store and the look at `parked`.
        slot.state
            .swap((number + NUMBER_STEP) | RUNNING, Ordering::SeqCst);
        if self.shared.parked.load(Ordering::SeqCst) {
            self.shared.wake();
        }
    }

    #[inline]
    pub(super) fn leave(&self) {
        let slot = &*self.slot;
        let number = slot.state.load(Ordering::Relaxed) & !FLAGS;
        while slot
            .state
            .compare_exchange(
                number | RUNNING,
                number,
                Ordering::SeqCst,
                Ordering::Relaxed,
            )
            .is_err()
        {
            // A signal is on its way; its handler will run on this thread, here.
            thread::yield_now();
        }
        WATCHED.set(ptr::null());
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let mut slots = self.shared.slots.lock();
        slots.retain(|slot| !Arc::ptr_eq(slot, &self.slot));
    }
}

struct Shared {
    /// Locked while signals are sent, so a thread that has left the list gets none.
    slots: Mutex<Vec<Arc<Slot>>>,
    /// The watchdog sleeps until somebody wakes it.
    parked: AtomicBool,
    stopped: AtomicBool,
    thread: Mutex<Option<Thread>>,
}

#[repr(align(128))]
struct Slot {
    /// The number of the resume, and FLAGS.
    state: AtomicU64,
    /// What the watchdog saw last; only it uses this.
    seen: AtomicU64,
    /// What runs while RUNNING is set.
    lua: AtomicPtr<ffi::lua_State>,
    /// A hook counts the instructions of `lua`, and is to be left there.
    is_counted: AtomicBool,
    /// The slice of such a script is over.
    is_due: AtomicBool,
    tid: libc::pid_t,
}

const RUNNING: u64 = 1;
const SIGNALLED: u64 = 2;
const FLAGS: u64 = RUNNING | SIGNALLED;
const NUMBER_STEP: u64 = 4;

const SIGNAL: libc::c_int = libc::SIGURG;

/// After so many slices without any script the watchdog sleeps until the next one wakes it.
const QUIET_SLICES_MAX: u32 = 100;

thread_local! {
    /// Where the handler finds its slot. Not null exactly while this thread is between `enter` and `leave`.
    static WATCHED: Cell<*const Slot> = const { Cell::new(ptr::null()) };
}

/// Whether the slice of the script that this thread runs, with its instructions counted, is over.
pub(super) fn is_due() -> bool {
    let slot = WATCHED.get();
    // SAFETY: set by `enter`, cleared by `leave`, both on this thread, which holds the slot in between.
    !slot.is_null() && unsafe { (*slot).is_due.load(Ordering::Relaxed) }
}

impl Shared {
    fn watch(&self, slice: Duration) {
        let mut quiet_slices = 0;
        while !self.stopped.load(Ordering::Relaxed) {
            thread::sleep(slice);
            if self.look() {
                quiet_slices = 0;
                continue;
            }
            quiet_slices += 1;
            if quiet_slices > QUIET_SLICES_MAX {
                self.park();
                quiet_slices = 0;
            }
        }
    }

    /// Signals who runs the same as last time; tells whether anything has run since.
    fn look(&self) -> bool {
        let mut active = false;
        for slot in &*self.slots.lock() {
            let state = slot.state.load(Ordering::SeqCst);
            let before = slot.seen.swap(state, Ordering::Relaxed);
            active |= state != before || state & RUNNING != 0;
            if state == before && state & FLAGS == RUNNING {
                slot.signal(state);
            }
        }
        active
    }

    fn park(&self) {
        self.parked.store(true, Ordering::SeqCst);
        // Whoever began before the store above is seen here; whoever begins after it sees `parked`.
        while self.parked.load(Ordering::SeqCst)
            && !self.stopped.load(Ordering::SeqCst)
            && !self.look()
        {
            thread::park();
        }
        self.parked.store(false, Ordering::SeqCst);
    }

    #[cold]
    fn wake(&self) {
        if self.parked.swap(false, Ordering::SeqCst)
            && let Some(thread) = &*self.thread.lock()
        {
            thread.unpark();
        }
    }
}

impl Slot {
    fn signal(&self, state: u64) {
        let claimed = self.state.compare_exchange(
            state,
            state | SIGNALLED,
            Ordering::SeqCst,
            Ordering::Relaxed,
        );
        if claimed.is_err() {
            return;
        }
        // SAFETY: tgkill only takes numbers; a thread that is gone is an error, not a fault.
        let sent = unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), self.tid, SIGNAL) };
        if sent != 0 {
            self.state.fetch_and(!SIGNALLED, Ordering::SeqCst);
        }
    }
}

extern "C" fn on_signal(_signal: libc::c_int) {
    let slot = WATCHED.get();
    if slot.is_null() {
        return;
    }
    // SAFETY: set by `enter`, cleared by `leave`, both on this thread, which holds the slot in between.
    let slot = unsafe { &*slot };
    if slot.state.load(Ordering::SeqCst) & SIGNALLED == 0 {
        return;
    }
    if slot.is_counted.load(Ordering::Relaxed) {
        slot.is_due.store(true, Ordering::Relaxed);
    } else {
        let lua = slot.lua.load(Ordering::Relaxed);
        // SAFETY: this thread is inside the resume of `lua` and interrupted; Lua allows this call from a signal handler.
        unsafe { ffi::lua_sethook(lua, Some(slice_end), ffi::LUA_MASKCOUNT, 1) };
    }
    slot.state.fetch_and(!SIGNALLED, Ordering::SeqCst);
}

/// The script goes on in another of its coroutines: the one that is to be interrupted.
///
/// A signal in between interrupts the one that has left; the next slice's finds the right one.
pub(super) fn follow(lua: *mut ffi::lua_State) {
    let slot = WATCHED.get();
    debug_assert!(!slot.is_null(), "scripts run between `enter` and `leave`");
    // SAFETY: as in the handler; scripts run on the thread that entered.
    unsafe { (*slot).lua.store(lua, Ordering::Relaxed) };
}

fn install_handler() -> io::Result<()> {
    // SAFETY: an all-zero sigaction is valid; the handler above only writes atomics and calls `lua_sethook`.
    let result = unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = on_signal as extern "C" fn(libc::c_int) as usize;
        action.sa_flags = libc::SA_RESTART | libc::SA_ONSTACK;
        libc::sigemptyset(&raw mut action.sa_mask);
        libc::sigaction(SIGNAL, &raw const action, ptr::null_mut())
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

fn unblock_signal() {
    // SAFETY: the set is initialised by sigemptyset before it is read.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, SIGNAL);
        libc::pthread_sigmask(libc::SIG_UNBLOCK, &raw const set, ptr::null_mut());
    }
}
