//! Mapped memory whose file may become shorter, or fail, while it is read.
//!
//! A byte of a mapping that the system cannot bring, because the file was cut short or its disk failed, is no error of a call:
//! the thread that touches it gets SIGBUS, which ends the process without a word. Here such a signal turns the mapping to
//! zeros, so that the thread reads on, and is remembered, so that nothing is made of what it read ([`Guarded::has_failed`]).
//!
//! Any other SIGBUS goes where it went before: to Rust's own handler, which tells of a stack that overflows on some systems,
//! or to the end of the process.

use std::ffi::{c_int, c_void};
use std::io;
use std::iter;
use std::mem;
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::sync::{Mutex, OnceLock, PoisonError};

use memmap2::Mmap;

/// Memory that turns to zeros where its file cannot be read.
pub struct Guarded {
    watched: &'static Watched,
    memory: Mmap,
}

impl Guarded {
    /// Guards `memory`, of which nothing needs to have been read.
    pub fn new(memory: Mmap) -> io::Result<Self> {
        install()?;
        Ok(Self { watched: Watched::add(&memory), memory })
    }

    /// The bytes, which are the file's unless [`Guarded::has_failed`] says otherwise after they were read.
    pub fn bytes(&self) -> &[u8] {
        &self.memory
    }

    /// Whether zeros may have been read in the file's place.
    pub fn has_failed(&self) -> bool {
        // What was read before must not move behind the question.
        fence(Ordering::SeqCst);
        self.watched.has_failed.load(Ordering::SeqCst)
    }
}

impl Drop for Guarded {
    /// Comes before the memory itself goes: the addresses may be another's then.
    fn drop(&mut self) {
        self.watched.is_mapped.store(false, Ordering::SeqCst);
    }
}

/// A mapping as the handler knows it. It is never taken from memory, so that the handler can go through all of them at any
/// time without a lock: a few words for each file that a process maps.
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

    /// The mapping that holds the address `at`.
    fn of(at: usize) -> Option<&'static Self> {
        let mut all = iter::successors(FIRST.get().copied(), |watched| watched.next.get().copied());
        all.find(|watched| at.wrapping_sub(watched.start) < watched.length && watched.is_mapped.load(Ordering::SeqCst))
    }

    /// Puts zeros in the mapping's place. Says whether that was possible.
    fn turn_to_zeros(&self) -> bool {
        // First, so that whoever has read zeros finds it.
        self.has_failed.store(true, Ordering::SeqCst);
        let (protection, flags) = (libc::PROT_READ, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED);
        // SAFETY: These addresses are a file mapping's that `Guarded` owns, from its first byte to its last page: whole pages
        // and nobody else's. It is there still: a thread has just read one of its bytes, and so holds a borrow of the
        // `Guarded`, which must end before it can be dropped and the memory given back. The new pages are readable as the
        // old ones were and are swapped in by the kernel in one step, so that every reference to them stays valid; that their
        // content changes is what whoever reads a mapped file has to reckon with anyway, and here `has_failed` tells of it.
        // mmap is a bare system call that takes no lock of this process and does not touch errno where it succeeds.
        let zeros =
            unsafe { libc::mmap(ptr::with_exposed_provenance_mut(self.start), self.length, protection, flags, -1, 0) };
        zeros != libc::MAP_FAILED
    }
}

/// What was done about SIGBUS before.
static FORMER: OnceLock<libc::sigaction> = OnceLock::new();

/// Makes [`on_bus_error`] what happens on SIGBUS, once in a process.
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
    // SAFETY: All bits zero are a valid `sigaction`, a C structure of integers and an optional pointer to a function. The
    // calls read and write such structures, which outlive them. The handler does what is safe in one: it allocates nothing,
    // takes no lock (`OnceLock::get` never blocks), and calls only mmap, sigaction and raise. The former action is kept
    // before the handler can run, so that the handler finds it. SA_ONSTACK has the handler run where Rust's does, on a
    // stack of its own, which an overflow of the thread's needs.
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

extern "C" fn on_bus_error(signal: c_int, information: *mut libc::siginfo_t, _context: *mut c_void) {
    // SAFETY: With SA_SIGINFO the kernel hands over a valid structure, which has an address if a fault raised the signal;
    // of one that a process sent, other fields lie there, integers too, and are not used.
    let (code, address) = unsafe { ((*information).si_code, (*information).si_addr().addr()) };
    let is_fault = code > 0 && code != libc::SI_USER;
    let mapping = if is_fault { Watched::of(address) } else { None };
    if mapping.is_some_and(Watched::turn_to_zeros) {
        // The thread reads again, and gets a zero.
        return;
    }
    // SAFETY: The structure is one that sigaction has filled in. What the former action is for comes again under it: a fault
    // as soon as the handler returns and the thread tries again; a signal that was sent, because it is sent again.
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

    /// Maps a file of sevens.
    fn sevens(file: &File) -> Guarded {
        // SAFETY: The tests that shorten the file are what the guard is for.
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
        // Several threads meet the end at once.
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| assert!(first.bytes()[size / 2..].iter().all(|byte| *byte == 0)));
            }
        });
        assert!(first.has_failed());
        assert!(second.bytes().iter().all(|byte| *byte == 7) && !second.has_failed());
        drop(first);
        // The next file may lie at the same addresses, and has not failed.
        let third = sevens(&whole);
        assert!(third.bytes().iter().all(|byte| *byte == 7) && !third.has_failed());
    }

    /// Dies of a SIGBUS that is not the guard's, where a parent asks for it.
    #[test]
    fn another_bus_error_ends_the_process_as_ever() {
        use std::os::unix::process::ExitStatusExt;

        const PART: &str = "LASER_SCAN_TEST_OF_BUS_ERRORS";
        let file = tempfile::tempfile().expect("a temporary file");
        file.set_len(1 << 20).expect("sized");
        match std::env::var(PART).as_deref() {
            Ok("fault") => {
                let _guarded = sevens(&file);
                // SAFETY: Reading it beyond the file's end ends the process, which is what is to be seen.
                let memory = unsafe { Mmap::map(&file) }.expect("mapped");
                file.set_len(0).expect("cut");
                std::process::exit(i32::from(memory[1 << 19]));
            }
            Ok(_) => {
                let _guarded = sevens(&file);
                // Rust's own handler lets the first pass.
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
