//! The warm VMs of a shard.

use std::cell::{Cell, RefCell};
use std::ffi::c_int;
use std::ops::{Deref, DerefMut};
use std::rc::{Rc, Weak};

use super::api::RedisVersion;
use super::cache::Dialect;
use super::core::Memory;
use super::host::Host;
use super::vm::Vm;
use super::watchdog::{Registration, Watchdog};

/// Keeps VMs between runs, since making one costs as much as twenty short scripts. Belongs to one thread.
pub struct VmPool {
    inner: Rc<Inner>,
}

#[derive(Clone, Copy, Debug)]
pub struct PoolOptions {
    pub version: RedisVersion,
    /// What one script may allocate, in bytes.
    pub memory_limit: usize,
    /// The longest source that is compiled, in bytes.
    pub source_limit: usize,
    /// VMs in use and idle together: the scripts that can be under way on a shard.
    pub vms_max: usize,
}

/// Idle VMs kept for each dialect; more than a few are in use only while scripts wait for locks.
const IDLE_MAX: usize = 16;

impl VmPool {
    pub fn new(options: PoolOptions, watchdog: &Watchdog) -> Self {
        Self {
            inner: Rc::new(Inner {
                options,
                watch: watchdog.register(),
                idle: RefCell::default(),
                accounts: RefCell::default(),
                in_use: Cell::new(0),
            }),
        }
    }

    /// A VM for one run; `None` while `vms_max` are in use.
    pub fn take(&self, dialect: Dialect) -> Option<PooledVm> {
        let inner = &self.inner;
        if inner.in_use.get() >= inner.options.vms_max {
            return None;
        }
        inner.in_use.set(inner.in_use.get() + 1);
        let idle = inner.idle.borrow_mut()[dialect as usize].pop();
        let vm = idle.unwrap_or_else(|| {
            let options = &inner.options;
            let vm = Vm::new(dialect, options);
            let account = Rc::downgrade(&vm.account());
            inner.accounts.borrow_mut().push(account);
            Box::new(vm)
        });
        Some(PooledVm {
            vm: Some(vm),
            pool: Rc::clone(inner),
        })
    }

    pub fn in_use(&self) -> usize {
        self.inner.in_use.get()
    }

    /// Bytes that all VMs hold, those in use included.
    pub fn memory(&self) -> usize {
        let mut accounts = self.inner.accounts.borrow_mut();
        accounts.retain(|account| account.strong_count() > 0);
        let held = accounts.iter().filter_map(Weak::upgrade);
        held.map(|account| account.used()).sum()
    }
}

struct Inner {
    options: PoolOptions,
    watch: Registration,
    /// By dialect.
    #[expect(clippy::vec_box, reason = "a VM goes to its run and back as a pointer")]
    idle: RefCell<[Vec<Box<Vm>>; 2]>,
    /// The memory of each VM that is there, and of some that were.
    accounts: RefCell<Vec<Weak<Memory>>>,
    in_use: Cell<usize>,
}

/// A VM that goes back to its pool when it is dropped.
pub struct PooledVm {
    /// Taken out by `drop` only.
    vm: Option<Box<Vm>>,
    pool: Rc<Inner>,
}

impl PooledVm {
    pub(super) fn resume_watched(&mut self, host: &mut dyn Host) -> c_int {
        let pool = Rc::clone(&self.pool);
        self.resume(host, &pool.watch)
    }
}

impl Deref for PooledVm {
    type Target = Vm;

    fn deref(&self) -> &Vm {
        self.vm.as_ref().expect("present until drop")
    }
}

impl DerefMut for PooledVm {
    fn deref_mut(&mut self) -> &mut Vm {
        self.vm.as_mut().expect("present until drop")
    }
}

impl Drop for PooledVm {
    fn drop(&mut self) {
        let Some(mut vm) = self.vm.take() else {
            return;
        };
        self.pool.in_use.set(self.pool.in_use.get() - 1);
        let is_healthy = vm.settle();
        let idle = &mut self.pool.idle.borrow_mut()[vm.dialect() as usize];
        if is_healthy && idle.len() < IDLE_MAX {
            idle.push(vm);
        }
    }
}
