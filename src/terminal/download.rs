//! How the download of a run gets on: one bar for all files.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use indicatif::ProgressBar;

use super::lock;

/// All that a run downloads.
pub struct Download {
    bar: ProgressBar,
    /// The bytes that are there of other files than the one that arrives now.
    complete: u64,
    /// Whether this process downloads that file.
    is_ours: bool,
}

impl Download {
    /// This process downloads the next file, of which an earlier one has left `resumed_at` bytes.
    pub fn begin_file(&mut self, name: String, resumed_at: u64) {
        self.is_ours = true;
        self.bar.set_message(name);
        let there = self.complete + resumed_at;
        if there != self.bar.position() {
            self.jump_to(there);
        }
    }

    /// So many bytes of the file are there.
    pub fn receive(&self, bytes: u64) {
        self.bar.set_position(self.complete + bytes);
    }

    /// A file is there, of which so many bytes were not before. Returns whether this process has downloaded it.
    pub fn end_file(&mut self, bytes: u64) -> bool {
        self.complete += bytes;
        let is_ours = std::mem::take(&mut self.is_ours);
        if is_ours {
            self.bar.set_position(self.complete);
        } else if bytes > 0 {
            self.jump_to(self.complete);
        }
        is_ours
    }

    /// So many bytes of all are there.
    pub fn receive_of_all(&mut self, bytes: u64) {
        self.complete = bytes;
        self.bar.set_position(bytes);
    }

    /// Counts bytes that did not arrive just now, and would make the rate too high.
    fn jump_to(&self, bytes: u64) {
        self.bar.set_position(bytes);
        self.bar.reset_eta();
    }

    fn is_complete(&self) -> bool {
        self.bar.length().is_some_and(|length| self.complete >= length)
    }
}

/// The download of a run while there is one, and how long it will still take. A bar is drawn under the lock of all bars, for which
/// whoever holds the download may have to wait. So the time is kept outside: a bar that shows it does not lock the download.
#[derive(Clone, Default)]
pub struct Downloading {
    download: Arc<Mutex<Option<Download>>>,
    /// When it was foreseen last, and how long it was to take.
    foreseen: Arc<Mutex<Option<(Instant, Duration)>>>,
}

impl Downloading {
    /// Begins a download, of which `bar` counts the bytes of all files.
    pub fn begin(&self, bar: ProgressBar) {
        *lock(&self.download) = Some(Download { bar, complete: 0, is_ours: false });
    }

    /// Changes the download, if there is one. It ends when all of it is there.
    pub fn update<T>(&self, change: impl FnOnce(&mut Download) -> T) -> Option<T> {
        let mut current = lock(&self.download);
        let download = current.as_mut()?;
        let changed = change(download);
        if download.is_complete() {
            self.end(&mut current);
        } else {
            let left = download.bar.eta();
            *lock(&self.foreseen) = (!left.is_zero()).then(|| (Instant::now(), left));
        }
        Some(changed)
    }

    /// Ends the download, whether all of it is there or not.
    pub fn finish(&self) {
        self.end(&mut lock(&self.download));
    }

    /// How many bytes of the download are there, how many there will be, and how many come in a second.
    pub fn bytes(&self) -> Option<[u64; 3]> {
        let bytes = |bar: &ProgressBar| [bar.position(), bar.length().unwrap_or(0), bar.per_sec() as u64];
        lock(&self.download).as_ref().map(|download| bytes(&download.bar))
    }

    fn end(&self, download: &mut Option<Download>) {
        if let Some(download) = download.take() {
            download.bar.finish_and_clear();
        }
        *lock(&self.foreseen) = None;
    }

    /// How long the download will still take, seen from `now`; `None` if there is none, if nothing is known yet, and when it takes longer
    /// than it should have.
    pub fn left(&self, now: Instant) -> Option<Duration> {
        let (then, left) = (*lock(&self.foreseen))?;
        left.checked_sub(now.saturating_duration_since(then))
    }
}

#[cfg(test)]
mod tests {
    use indicatif::ProgressDrawTarget;

    use super::*;

    fn of(size: u64) -> Downloading {
        let downloading = Downloading::default();
        let bar = ProgressBar::with_draw_target(Some(size), ProgressDrawTarget::hidden());
        downloading.begin(bar);
        downloading
    }

    fn position(downloading: &Downloading) -> Option<u64> {
        downloading.bytes().map(|[there, ..]| there)
    }

    #[test]
    fn the_bytes_of_all_files_are_counted_together() {
        let downloading = of(350);
        downloading.update(|download| download.begin_file("a".to_owned(), 40));
        assert_eq!(position(&downloading), Some(40));
        downloading.update(|download| download.receive(70));
        assert_eq!(downloading.update(|download| download.end_file(100)), Some(true));
        assert_eq!(position(&downloading), Some(100));
        // What was on disk before, and what another process has downloaded meanwhile.
        assert_eq!(downloading.update(|download| download.end_file(0)), Some(false));
        assert_eq!(downloading.update(|download| download.end_file(50)), Some(false));
        assert_eq!(position(&downloading), Some(150));
        downloading.update(|download| download.begin_file("b".to_owned(), 0));
        downloading.update(|download| download.receive(150));
        assert_eq!(position(&downloading), Some(300));
        // It was wrong, and begins anew.
        downloading.update(|download| download.begin_file("b".to_owned(), 0));
        assert_eq!(position(&downloading), Some(150));
        assert_eq!(downloading.update(|download| download.end_file(200)), Some(true));
        assert_eq!(position(&downloading), None, "all of it is there");
        assert_eq!((downloading.update(|_| ()), downloading.left(Instant::now())), (None, None));
    }

    #[test]
    fn what_is_read_by_byte_range_ends_with_the_last_byte() {
        let downloading = of(300);
        downloading.update(|download| download.receive_of_all(299));
        assert_eq!(position(&downloading), Some(299));
        downloading.update(|download| download.receive_of_all(300));
        assert_eq!(position(&downloading), None);
    }

    #[test]
    fn a_download_tells_how_long_it_will_still_take() {
        let downloading = of(1 << 40);
        downloading.update(|download| download.begin_file("a".to_owned(), 0));
        assert_eq!(downloading.left(Instant::now()), None);
        for received in 1..=3 {
            std::thread::sleep(Duration::from_millis(30));
            downloading.update(|download| download.receive(received << 20));
        }
        let now = Instant::now();
        let left = downloading.left(now).expect("foreseen");
        assert!(left > Duration::from_secs(60), "{left:?}");
        let later = Duration::from_secs(20);
        assert_eq!(downloading.left(now + later), Some(left - later), "it comes nearer while nothing arrives");
        assert_eq!(downloading.left(now + left + later), None);
        downloading.finish();
        assert_eq!(downloading.left(now), None);
    }
}
