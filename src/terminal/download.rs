//! How the download of a run gets on: one bar for all files.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use indicatif::ProgressBar;

/// All that a run downloads.
pub struct Download {
    bar: ProgressBar,
    /// The bytes of files that are complete.
    complete: u64,
    /// The size of the file that arrives now.
    file: u64,
}

impl Download {
    /// `bar` counts the bytes of all files.
    pub fn new(bar: ProgressBar) -> Self {
        Self { bar, complete: 0, file: 0 }
    }

    pub fn bar(&self) -> &ProgressBar {
        &self.bar
    }

    /// The next file, of `size` bytes, arrives; the first `resumed_at` of them are there from an earlier run.
    pub fn begin_file(&mut self, name: String, size: u64, resumed_at: u64) {
        self.file = size;
        self.bar.set_message(name);
        let there = self.complete + resumed_at;
        // The rate is that of the bytes that arrive, which earlier ones would make too high.
        if there != self.bar.position() {
            self.bar.set_position(there);
            self.bar.reset_eta();
        }
    }

    /// This many bytes of the file are there.
    pub fn receive(&self, bytes: u64) {
        self.bar.set_position(self.complete + bytes);
    }

    /// Ends the file that arrives now, and returns whether there is one.
    pub fn end_file(&mut self) -> bool {
        let size = std::mem::take(&mut self.file);
        self.complete += size;
        self.bar.set_position(self.complete);
        size > 0
    }

    pub fn is_complete(&self) -> bool {
        self.bar.length().is_some_and(|length| self.complete >= length)
    }
}

/// The download of a run while there is one, and how long it will still take. What draws a bar must not wait for another bar, so
/// that the time is kept beside them.
#[derive(Clone, Default)]
pub struct Downloading {
    download: Arc<Mutex<Option<Download>>>,
    seconds_left: Arc<AtomicU64>,
}

impl Downloading {
    pub fn lock(&self) -> MutexGuard<'_, Option<Download>> {
        self.download.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the download, if there is one.
    pub fn update<T>(&self, change: impl FnOnce(&mut Download) -> T) -> Option<T> {
        let mut download = self.lock();
        let changed = change(download.as_mut()?);
        let left = download.as_ref().map_or(0, |download| download.bar.eta().as_secs());
        self.seconds_left.store(left, Ordering::Relaxed);
        if download.as_ref().is_some_and(Download::is_complete) {
            self.end(&mut download);
        }
        Some(changed)
    }

    /// Ends the download, whether all of it is there or not.
    pub fn finish(&self) {
        self.end(&mut self.lock());
    }

    fn end(&self, download: &mut Option<Download>) {
        if let Some(download) = download.take() {
            download.bar.finish_and_clear();
        }
        self.seconds_left.store(0, Ordering::Relaxed);
    }

    /// How long the download will still take; `None` if there is none, or if nothing is known yet.
    pub fn left(&self) -> Option<Duration> {
        Some(self.seconds_left.load(Ordering::Relaxed)).filter(|seconds| *seconds > 0).map(Duration::from_secs)
    }
}

#[cfg(test)]
mod tests {
    use indicatif::ProgressDrawTarget;

    use super::*;

    fn of(size: u64) -> Downloading {
        let downloading = Downloading::default();
        let bar = ProgressBar::with_draw_target(Some(size), ProgressDrawTarget::hidden());
        *downloading.lock() = Some(Download::new(bar));
        downloading
    }

    fn position(downloading: &Downloading) -> Option<u64> {
        downloading.lock().as_ref().map(|download| download.bar.position())
    }

    #[test]
    fn the_bytes_of_all_files_are_counted_together() {
        let downloading = of(300);
        downloading.update(|download| download.begin_file("a".to_owned(), 100, 40));
        assert_eq!(position(&downloading), Some(40));
        downloading.update(|download| download.receive(70));
        assert_eq!(downloading.update(Download::end_file), Some(true));
        assert_eq!(position(&downloading), Some(100));
        // What was on disk before.
        assert_eq!(downloading.update(Download::end_file), Some(false));
        downloading.update(|download| download.begin_file("b".to_owned(), 200, 0));
        downloading.update(|download| download.receive(150));
        assert_eq!(position(&downloading), Some(250));
        // It was wrong, and begins anew.
        downloading.update(|download| download.begin_file("b".to_owned(), 200, 0));
        assert_eq!(position(&downloading), Some(100));
        assert_eq!(downloading.update(Download::end_file), Some(true));
        assert_eq!(position(&downloading), None, "all of it is there");
        assert_eq!((downloading.update(|_| ()), downloading.left()), (None, None));
    }

    #[test]
    fn a_download_tells_how_long_it_will_still_take() {
        let downloading = of(1 << 40);
        downloading.update(|download| download.begin_file("a".to_owned(), 1 << 40, 0));
        assert_eq!(downloading.left(), None);
        for received in 1..=3 {
            std::thread::sleep(Duration::from_millis(30));
            downloading.update(|download| download.receive(received << 20));
        }
        assert!(downloading.left().is_some_and(|left| left > Duration::from_secs(60)), "{:?}", downloading.left());
        downloading.finish();
        assert_eq!(downloading.left(), None);
    }
}
