//! Survives the truncation of a mapped file, and errors of its disk, on Unix.
//!
//! If the system cannot provide a byte of a mapping, the thread that touches it gets SIGBUS, which ends the process without
//! a message. The signal handler here replaces the mapping with zeros, so that the thread continues, and records the failure,
//! so that [`Guarded::has_failed`] tells that what was read is invalid.
//!
//! Every other SIGBUS has its former effect: Rust's own handler, which reports stack overflows on some systems, or the end
//! of the process.

use std::ffi::{c_int, c_void};
use std::io;
use std::iter;
use std::mem;
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::sync::{Mutex, OnceLock, PoisonError};

use memmap2::Mmap;

/// A mapping that turns to zeros if its file cannot be read.
pub struct Guarded {
    watched: &'static Watched,
    memory: Mmap,
}

impl Guarded {
    pub fn new(memory: Mmap) -> io::Result<Self> {
        install()?;
        Ok(Self { watched: Watched::add(&memory), memory })
    }

    /// The file's bytes, unless [`Guarded::has_failed`] says afterwards that they may have been replaced.
    pub fn bytes(&self) -> &[u8] {
        &self.memory
    }

    /// Whether zeros may have been read in place of the file's bytes.
    pub fn has_failed(&self) -> bool {
        // Earlier reads of the memory must not be moved after this load.
        fence(Ordering::SeqCst);
        self.watched.has_failed.load(Ordering::SeqCst)
    }
}

impl Drop for Guarded {
    /// Runs before the memory is unmapped, after which the addresses may belong to another mapping.
    fn drop(&mut self) {
        self.watched.is_mapped.store(false, Ordering::SeqCst);
    }
}

/// A mapping as the signal handler sees it. It is never freed, so that the handler can walk the list at any time without a
/// lock. That costs a few words for each file that the process maps.
struct Watched {
    start: usize,
    length: usize,
    is_mapped: AtomicBool,
    has_failed: AtomicBool,
    next: OnceLock<&'static Watched>,
}

static FIRST: OnceLock<&'static Watched> = OnceLock::new();

impl Watched {
    fn add(memory: &Mmap) -> &'static Self {
        let watched: &Self = Box::leak(Box::new(Self {
            start: memory.as_ptr().expose_provenance(),
            length: memory.len(),
            is_mapped: AtomicBool::new(true),
            has_failed: AtomicBool::new(false),
            next: OnceLock::new(),
        }));
        let mut place = &FIRST;
        loop {
            let taken = place.get_or_init(|| watched);
            if ptr::eq(*taken, watched) {
                return watched;
            }
            place = &taken.next;
        }
    }

    fn of(at: usize) -> Option<&'static Self> {
        let mut all = iter::successors(FIRST.get().copied(), |watched| watched.next.get().copied());
        all.find(|watched| at.wrapping_sub(watched.start) < watched.length && watched.is_mapped.load(Ordering::SeqCst))
    }

    /// Replaces the mapping with zeros, and returns whether that was possible.
    fn turn_to_zeros(&self) -> bool {
        // This comes first, so that a thread that has read zeros finds it set.
        self.has_failed.store(true, Ordering::SeqCst);
        let (protection, flags) = (libc::PROT_READ, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED);
        // SAFETY: The addresses are the whole pages of a file mapping that a `Guarded` owns. It still exists: a thread has just
        // read one of its bytes and so borrows the `Guarded`, which can be dropped and unmapped only after that borrow. The
        // new pages are readable like the old ones, and the kernel swaps them in one step, so all references stay valid. That
        // the content changes is to be expected of any mapped file, and `has_failed` reports it. mmap is a bare system call:
        // it takes no lock of this process, and does not touch errno if it succeeds.
        let zeros =
            unsafe { libc::mmap(ptr::with_exposed_provenance_mut(self.start), self.length, protection, flags, -1, 0) };
        zeros != libc::MAP_FAILED
    }
}

/// The action for SIGBUS before [`install`].
static FORMER: OnceLock<libc::sigaction> = OnceLock::new();

/// Installs [`on_bus_error`] as the handler of SIGBUS, once in a process.
fn install() -> io::Result<()> {
    static IS_INSTALLED: Mutex<bool> = Mutex::new(false);
    let mut is_installed = IS_INSTALLED.lock().unwrap_or_else(PoisonError::into_inner);
    if !*is_installed {
        replace_action()?;
        *is_installed = true;
    }
    Ok(())
}

fn replace_action() -> io::Result<()> {
    let done = |status: c_int| if status == 0 { Ok(()) } else { Err(io::Error::last_os_error()) };
    // SAFETY: All bits zero are a valid `sigaction`, a C structure of integers and an optional function pointer. The calls
    // read and write such structures, which outlive them. The handler is async-signal-safe: it allocates nothing, takes no
    // lock (`OnceLock::get` never blocks), and calls only mmap, sigaction and raise. The former action is stored before the
    // handler can run and need it. SA_ONSTACK runs the handler on Rust's alternate stack, which is needed if the thread's
    // stack has overflowed.
    unsafe {
        let mut former: libc::sigaction = mem::zeroed();
        done(libc::sigaction(libc::SIGBUS, ptr::null(), &mut former))?;
        let former = FORMER.get_or_init(|| former);
        let mut ours: libc::sigaction = mem::zeroed();
        let handler: extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void) = on_bus_error;
        ours.sa_sigaction = handler as usize;
        ours.sa_mask = former.sa_mask;
        ours.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
        done(libc::sigaction(libc::SIGBUS, &ours, ptr::null_mut()))
    }
}

/// The code of a signal that a process has sent, on macOS and FreeBSD, where libc does not name it. Elsewhere it is not above zero.
const SENT: c_int = 0x10001;

extern "C" fn on_bus_error(signal: c_int, information: *mut libc::siginfo_t, _context: *mut c_void) {
    // SAFETY: With SA_SIGINFO the kernel passes a valid structure. It contains an address if a fault raised the signal; if a
    // process sent it, other integer fields are in that place, and the address is not used.
    let (code, address) = unsafe { ((*information).si_code, (*information).si_addr().addr()) };
    let is_fault = code > 0 && code != SENT;
    let mapping = if is_fault { Watched::of(address) } else { None };
    if mapping.is_some_and(Watched::turn_to_zeros) {
        // The thread repeats its read and gets a zero.
        return;
    }
    // SAFETY: sigaction has filled in the structure. The signal then occurs again under the former action: a fault as soon as
    // the handler returns and the thread repeats the access, a signal that was sent because it is raised again.
    unsafe {
        if let Some(former) = FORMER.get() {
            libc::sigaction(signal, former, ptr::null_mut());
        }
        if !is_fault {
            libc::raise(signal);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::process::Command;

    use super::*;

    fn sevens(file: &File) -> Guarded {
        // SAFETY: The guard is there for the tests that shorten the file.
        let memory = unsafe { Mmap::map(file) }.expect("mapped");
        Guarded::new(memory).expect("guarded")
    }

    #[test]
    fn what_is_cut_off_reads_as_zeros_and_is_remembered() {
        let size = 1 << 20;
        let folder = tempfile::tempdir().expect("a temporary folder");
        let open = |name: &str| {
            let path = folder.path().join(name);
            fs::write(&path, vec![7; size]).expect("written");
            File::options().read(true).write(true).open(path).expect("opened")
        };
        let (cut, whole) = (open("cut"), open("whole"));
        let (first, second) = (sevens(&cut), sevens(&whole));
        assert!(first.bytes().iter().all(|byte| *byte == 7) && !first.has_failed());
        cut.set_len(1).expect("cut");
        // Several threads get the signal at once.
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| assert!(first.bytes()[size / 2..].iter().all(|byte| *byte == 0)));
            }
        });
        assert!(first.has_failed());
        assert!(second.bytes().iter().all(|byte| *byte == 7) && !second.has_failed());
        drop(first);
        // The next mapping may have the same addresses, and has not failed.
        let third = sevens(&whole);
        assert!(third.bytes().iter().all(|byte| *byte == 7) && !third.has_failed());
    }

    /// Starts itself as a child process, which gets a SIGBUS that does not come from a guarded mapping.
    #[test]
    fn another_bus_error_ends_the_process_as_ever() {
        use std::os::unix::process::ExitStatusExt;

        const PART: &str = "LASER_SCAN_TEST_OF_BUS_ERRORS";
        let file = tempfile::tempfile().expect("a temporary file");
        file.set_len(1 << 20).expect("sized");
        match std::env::var(PART).as_deref() {
            Ok("fault") => {
                let _guarded = sevens(&file);
                // SAFETY: Reading it beyond the file's end ends the process, as the test expects.
                let memory = unsafe { Mmap::map(&file) }.expect("mapped");
                file.set_len(0).expect("cut");
                std::process::exit(i32::from(memory[1 << 19]));
            }
            Ok(_) => {
                let _guarded = sevens(&file);
                // Rust's own handler ignores the first one.
                for _ in 0..2 {
                    // SAFETY: It sends this process a signal.
                    unsafe { libc::raise(libc::SIGBUS) };
                }
                std::process::exit(0);
            }
            Err(_) => {}
        }
        for part in ["fault", "sent"] {
            let name = "another_bus_error_ends_the_process_as_ever";
            let mut child = Command::new(std::env::current_exe().expect("known"));
            let ended = child.arg(name).env(PART, part).output().expect("runs").status;
            assert_eq!(ended.signal(), Some(libc::SIGBUS), "{part}: {ended}");
        }
    }
}
