//! A file system in memory that keeps apart what was written and what is on disk, and breaks on request.
//!
//! - Every operation that changes something has a number, from 0; a fault is set for one of them.
//! - `crash` throws away what was not synced: of the writes of each file any subset stays, of each write any of its
//!   sectors, and likewise of the changes of a directory. Everything random comes from the seed.
//! - What [`FaultyFileSystem::mount`] gives out belongs to one process. A crash or a kill ends that process: its threads may
//!   still run in the test, but nothing that they do reaches the disk any more.
//! - After a failed sync the file's unsynced writes count as clean and may never reach the disk, as on Linux.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};

use super::{DirectoryLock, File, FileSystem, Reserved};

/// Parts of a write up to this size reach the disk whole.
const SECTOR_BYTES: usize = 512;

/// What befalls an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It fails with EIO and changes nothing.
    Fail,
    /// A write keeps part of its bytes, then fails; any other operation is done but reports failure.
    Torn,
    /// The power goes: this operation is torn, all later ones fail until [`FaultyFileSystem::crash`].
    PowerCut,
}

/// The disk, as the test holds it.
pub struct FaultyFileSystem {
    disk: Arc<Mutex<Disk>>,
}

/// The disk, as one process sees it.
struct Mounted {
    disk: Arc<Mutex<Disk>>,
    epoch: u64,
}

struct Disk {
    random: fastrand::Rng,
    operations: u64,
    fault: Option<(u64, Fault)>,
    reads: u64,
    read_fault: Option<u64>,
    power_is_cut: bool,
    can_reserve: bool,
    capacity_bytes: u64,
    inodes: HashMap<u64, Inode>,
    next_inode: u64,
    names: BTreeMap<PathBuf, u64>,
    durable_names: BTreeMap<PathBuf, u64>,
    unsynced_names: Vec<NameChange>,
    locked: Vec<PathBuf>,
    /// Counts crashes and kills: mounts, files and locks from before one are dead.
    epoch: u64,
}

#[derive(Default, Clone)]
struct Inode {
    bytes: Vec<u8>,
    durable: Vec<u8>,
    unsynced: Vec<Change>,
    allocated: u64,
}

#[derive(Clone)]
enum Change {
    Write { offset: usize, bytes: Vec<u8> },
    Length(usize),
}

/// One operation on a directory; it happens as a whole.
struct NameChange {
    removed: Option<PathBuf>,
    added: Option<(PathBuf, u64)>,
}

impl FaultyFileSystem {
    pub fn new(seed: u64) -> FaultyFileSystem {
        FaultyFileSystem {
            disk: Arc::new(Mutex::new(Disk {
                random: fastrand::Rng::with_seed(seed),
                operations: 0,
                fault: None,
                reads: 0,
                read_fault: None,
                power_is_cut: false,
                can_reserve: true,
                capacity_bytes: u64::MAX,
                inodes: HashMap::new(),
                next_inode: 0,
                names: BTreeMap::new(),
                durable_names: BTreeMap::new(),
                unsynced_names: Vec::new(),
                locked: Vec::new(),
                epoch: 0,
            })),
        }
    }

    /// The file system for a process that starts now.
    pub fn mount(&self) -> Arc<dyn FileSystem> {
        Arc::new(Mounted {
            disk: Arc::clone(&self.disk),
            epoch: self.disk.lock().epoch,
        })
    }

    /// Lets `fault` befall the operation with this number.
    pub fn set_fault(&self, operation: u64, fault: Fault) {
        self.disk.lock().fault = Some((operation, fault));
    }

    /// Lets the read with this number fail; reads are counted apart, also from 0.
    pub fn set_read_fault(&self, read: u64) {
        self.disk.lock().read_fault = Some(read);
    }

    pub fn clear_fault(&self) {
        let mut disk = self.disk.lock();
        disk.fault = None;
        disk.read_fault = None;
    }

    /// How many reads there were so far.
    pub fn reads(&self) -> u64 {
        self.disk.lock().reads
    }

    /// How many operations have changed something so far.
    pub fn operations(&self) -> u64 {
        self.disk.lock().operations
    }

    pub fn set_capacity(&self, bytes: u64) {
        self.disk.lock().capacity_bytes = bytes;
    }

    pub fn set_can_reserve(&self, can: bool) {
        self.disk.lock().can_reserve = can;
    }

    /// The power goes and comes back: only what is on disk is left, and no process.
    pub fn crash(&self) {
        self.disk.lock().crash();
    }

    /// The process dies and the machine lives on: everything written is left.
    pub fn kill(&self) {
        let mut disk = self.disk.lock();
        disk.epoch += 1;
        disk.locked.clear();
        disk.power_is_cut = false;
    }

    pub fn names(&self) -> Vec<PathBuf> {
        self.disk.lock().names.keys().cloned().collect()
    }

    pub fn contents(&self, path: &Path) -> Option<Vec<u8>> {
        let disk = self.disk.lock();
        disk.names
            .get(path)
            .map(|inode| disk.inodes[inode].bytes.clone())
    }

    /// Puts a file with these bytes on the disk, as if it had always been there.
    pub fn set_contents(&self, path: &Path, bytes: &[u8]) {
        let mut disk = self.disk.lock();
        let inode = disk.add_inode();
        let file = disk.inode(inode);
        file.bytes = bytes.to_vec();
        file.durable = bytes.to_vec();
        file.allocated = bytes.len() as u64;
        disk.names.insert(path.to_path_buf(), inode);
        disk.durable_names.insert(path.to_path_buf(), inode);
    }

    /// Takes a file away, as if it had never been there.
    pub fn take_away(&self, path: &Path) {
        let mut disk = self.disk.lock();
        disk.names.remove(path);
        disk.durable_names.remove(path);
    }
}

impl Mounted {
    fn live(&self) -> io::Result<MutexGuard<'_, Disk>> {
        Disk::live(&self.disk, self.epoch)
    }

    fn file(&self, inode: u64) -> Arc<dyn File> {
        Arc::new(FaultyFile {
            disk: Arc::clone(&self.disk),
            inode,
            epoch: self.epoch,
        })
    }
}

impl FileSystem for Mounted {
    fn create_dir(&self, _dir: &Path) -> io::Result<()> {
        self.live().map(drop)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn DirectoryLock>> {
        let mut disk = self.live()?;
        if disk.locked.iter().any(|locked| locked == path) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        disk.locked.push(path.to_path_buf());
        Ok(Box::new(FaultyLock {
            disk: Arc::clone(&self.disk),
            path: path.to_path_buf(),
            epoch: self.epoch,
        }))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let disk = self.live()?;
        let files = disk.names.keys().filter(|path| path.parent() == Some(dir));
        Ok(files
            .filter_map(|path| path.file_name()?.to_str().map(str::to_owned))
            .collect())
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        let mut disk = self.live()?;
        let inode = disk.add_inode();
        disk.change_names(None, Some((path.to_path_buf(), inode)))?;
        Ok(self.file(inode))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        let disk = self.live()?;
        let inode = *disk.names.get(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(self.file(inode))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut disk = self.live()?;
        let inode = *disk.names.get(from).ok_or(io::ErrorKind::NotFound)?;
        disk.change_names(Some(from.to_path_buf()), Some((to.to_path_buf(), inode)))
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut disk = self.live()?;
        let inode = *disk.names.get(from).ok_or(io::ErrorKind::NotFound)?;
        if disk.names.contains_key(to) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        disk.change_names(None, Some((to.to_path_buf(), inode)))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut disk = self.live()?;
        if !disk.names.contains_key(path) {
            return Err(io::ErrorKind::NotFound.into());
        }
        disk.change_names(Some(path.to_path_buf()), None)
    }

    fn sync_dir(&self, _dir: &Path) -> io::Result<()> {
        let mut disk = self.live()?;
        let fault = disk.step()?;
        if fault.is_none() {
            disk.durable_names = disk.names.clone();
            disk.unsynced_names.clear();
        }
        fail_if(fault)
    }
}

struct FaultyLock {
    disk: Arc<Mutex<Disk>>,
    path: PathBuf,
    epoch: u64,
}

impl DirectoryLock for FaultyLock {}

impl Drop for FaultyLock {
    fn drop(&mut self) {
        let mut disk = self.disk.lock();
        if disk.epoch == self.epoch {
            disk.locked.retain(|path| *path != self.path);
        }
    }
}

struct FaultyFile {
    disk: Arc<Mutex<Disk>>,
    inode: u64,
    epoch: u64,
}

impl FaultyFile {
    fn live(&self) -> io::Result<MutexGuard<'_, Disk>> {
        Disk::live(&self.disk, self.epoch)
    }
}

impl File for FaultyFile {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let mut disk = self.live()?;
        let number = disk.reads;
        disk.reads += 1;
        if disk.read_fault == Some(number) {
            return fail_if(Some(Fault::Fail)).map(|()| 0);
        }
        let bytes = &disk.inode(self.inode).bytes;
        let rest = bytes.get(offset as usize..).unwrap_or_default();
        let got = rest.len().min(buffer.len());
        buffer[..got].copy_from_slice(&rest[..got]);
        Ok(got)
    }

    fn write_all_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut disk = self.live()?;
        let fault = disk.step()?;
        let kept = match fault {
            None => bytes.len(),
            Some(Fault::Fail) => 0,
            Some(_) => disk.random.usize(..=bytes.len()),
        };
        disk.allocate(self.inode, offset + bytes.len() as u64)?;
        disk.inode(self.inode).change(Change::Write {
            offset: offset as usize,
            bytes: bytes[..kept].to_vec(),
        });
        fail_if(fault)
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut disk = self.live()?;
        let fault = disk.step()?;
        let Disk { inodes, random, .. } = &mut *disk;
        let inode = inodes.get_mut(&self.inode).expect("an open file");
        match fault {
            None => {
                for change in std::mem::take(&mut inode.unsynced) {
                    change.apply(&mut inode.durable);
                }
            }
            // The pages count as clean now, and only some of them got there.
            Some(Fault::Fail | Fault::Torn) => inode.lose_unsynced(random),
            Some(Fault::PowerCut) => {}
        }
        fail_if(fault)
    }

    fn reserve(&self, offset: u64, bytes: u64) -> io::Result<Reserved> {
        let mut disk = self.live()?;
        if !disk.can_reserve {
            return Ok(Reserved::Unsupported);
        }
        let fault = disk.step()?;
        if fault.is_none() {
            disk.allocate(self.inode, offset + bytes)?;
            let inode = disk.inode(self.inode);
            let length = inode.bytes.len().max((offset + bytes) as usize);
            inode.change(Change::Length(length));
        }
        fail_if(fault).map(|()| Reserved::Yes)
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        let mut disk = self.live()?;
        let fault = disk.step()?;
        if fault != Some(Fault::Fail) {
            let inode = disk.inode(self.inode);
            inode.change(Change::Length(bytes as usize));
            inode.allocated = bytes;
        }
        fail_if(fault)
    }

    fn byte_len(&self) -> io::Result<u64> {
        Ok(self.live()?.inode(self.inode).bytes.len() as u64)
    }
}

impl Disk {
    /// The disk for a process of this epoch, if it still lives and has power.
    fn live(disk: &Mutex<Disk>, epoch: u64) -> io::Result<MutexGuard<'_, Disk>> {
        let disk = disk.lock();
        if disk.epoch != epoch {
            return Err(io::Error::other("this process ended with a crash"));
        }
        disk.check_power()?;
        Ok(disk)
    }

    /// Counts an operation, and says what befalls it.
    fn step(&mut self) -> io::Result<Option<Fault>> {
        self.check_power()?;
        let number = self.operations;
        self.operations += 1;
        let fault = self
            .fault
            .and_then(|(at, fault)| (at == number).then_some(fault));
        self.power_is_cut |= fault == Some(Fault::PowerCut);
        Ok(fault)
    }

    fn check_power(&self) -> io::Result<()> {
        if self.power_is_cut {
            Err(io::Error::other("the power is cut"))
        } else {
            Ok(())
        }
    }

    fn inode(&mut self, inode: u64) -> &mut Inode {
        self.inodes
            .get_mut(&inode)
            .expect("an inode lives as long as the disk")
    }

    fn add_inode(&mut self) -> u64 {
        self.next_inode += 1;
        self.inodes.insert(self.next_inode, Inode::default());
        self.next_inode
    }

    fn change_names(
        &mut self,
        removed: Option<PathBuf>,
        added: Option<(PathBuf, u64)>,
    ) -> io::Result<()> {
        let fault = self.step()?;
        if fault != Some(Fault::Fail) {
            let change = NameChange { removed, added };
            change.apply(&mut self.names);
            self.unsynced_names.push(change);
        }
        fail_if(fault)
    }

    fn allocate(&mut self, inode: u64, bytes: u64) -> io::Result<()> {
        let used: u64 = self
            .names
            .values()
            .filter(|&&other| other != inode)
            .map(|other| self.inodes[other].allocated)
            .sum();
        let own = self.inodes[&inode].allocated.max(bytes);
        if own > self.inodes[&inode].allocated && used + own > self.capacity_bytes {
            return Err(io::Error::from_raw_os_error(libc::ENOSPC));
        }
        self.inode(inode).allocated = own;
        Ok(())
    }

    fn crash(&mut self) {
        for change in std::mem::take(&mut self.unsynced_names) {
            if self.random.bool() {
                change.apply(&mut self.durable_names);
            }
        }
        self.names = self.durable_names.clone();
        let mut inodes: Vec<_> = self.inodes.iter_mut().collect();
        inodes.sort_by_key(|(number, _)| **number);
        for (_, inode) in inodes {
            inode.lose_unsynced(&mut self.random);
            inode.bytes.clone_from(&inode.durable);
            inode.allocated = inode.bytes.len() as u64;
        }
        self.locked.clear();
        self.power_is_cut = false;
        self.epoch += 1;
    }
}

impl Inode {
    fn change(&mut self, change: Change) {
        change.apply(&mut self.bytes);
        self.unsynced.push(change);
    }

    /// Lets any part of the unsynced changes reach the disk and forgets the rest.
    fn lose_unsynced(&mut self, random: &mut fastrand::Rng) {
        for change in std::mem::take(&mut self.unsynced) {
            match change {
                Change::Length(_) => {
                    if random.bool() {
                        change.apply(&mut self.durable);
                    }
                }
                Change::Write { offset, bytes } => {
                    // Sectors lie on the disk at their multiples, not where a write begins.
                    let mut at = offset;
                    while at < offset + bytes.len() {
                        let end = (at / SECTOR_BYTES + 1) * SECTOR_BYTES;
                        let end = end.min(offset + bytes.len());
                        if random.bool() {
                            let part = bytes[at - offset..end - offset].to_vec();
                            Change::Write {
                                offset: at,
                                bytes: part,
                            }
                            .apply(&mut self.durable);
                        }
                        at = end;
                    }
                }
            }
        }
    }
}

impl Change {
    fn apply(&self, file: &mut Vec<u8>) {
        match self {
            Change::Length(length) => file.resize(*length, 0),
            Change::Write { offset, bytes } => {
                let end = offset + bytes.len();
                if file.len() < end {
                    file.resize(end, 0);
                }
                file[*offset..end].copy_from_slice(bytes);
            }
        }
    }
}

impl NameChange {
    fn apply(&self, names: &mut BTreeMap<PathBuf, u64>) {
        if let Some(removed) = &self.removed {
            names.remove(removed);
        }
        if let Some((path, inode)) = &self.added {
            names.insert(path.clone(), *inode);
        }
    }
}

fn fail_if(fault: Option<Fault>) -> io::Result<()> {
    match fault {
        None => Ok(()),
        Some(_) => Err(io::Error::from_raw_os_error(libc::EIO)),
    }
}
