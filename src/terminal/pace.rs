//! How fast a run measures, from which its end is foreseen.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The pace of one run. Its mean over the whole run counts: modules end in lumps, with large ones minutes apart, after which the rate of
/// the last moments would say nothing. Clones share it.
#[derive(Clone)]
pub struct Pace(Arc<Mutex<Run>>);

/// Work is in floating-point operations.
struct Run {
    begun: Instant,
    /// When the last module was done.
    last: Instant,
    /// What this run has done.
    done: f64,
    /// What was left to do when it began.
    whole: f64,
}

impl Pace {
    pub fn new(begun: Instant, whole: f64) -> Self {
        Self(Arc::new(Mutex::new(Run { begun, last: begun, done: 0.0, whole })))
    }

    /// An earlier run has done this much.
    pub fn resume(&self, done: f64) {
        self.lock().whole -= done;
    }

    /// So much more is done, `now`.
    pub fn advance(&self, work: f64, now: Instant) {
        let mut run = self.lock();
        run.done += work;
        run.last = now;
    }

    /// So much has to be done again.
    pub fn lose(&self, work: f64) {
        self.lock().done -= work;
    }

    /// The work of a second; 0 before the first module is done.
    pub fn rate(&self) -> f64 {
        self.lock().rate()
    }

    /// How long the rest will take, seen from `now`. `None` before the first module is done, and when the rest takes longer than it
    /// should have.
    pub fn left(&self, now: Instant) -> Option<Duration> {
        let run = self.lock();
        let seconds = (run.whole - run.done) / run.rate() - now.saturating_duration_since(run.last).as_secs_f64();
        Duration::try_from_secs_f64(seconds).ok()
    }

    fn lock(&self) -> MutexGuard<'_, Run> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Run {
    fn rate(&self) -> f64 {
        let seconds = (self.last - self.begun).as_secs_f64();
        if seconds > 0.0 && self.done > 0.0 { self.done / seconds } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_foreseen_from_the_mean_of_the_run() {
        let begun = Instant::now();
        let at = |seconds| begun + Duration::from_secs(seconds);
        let pace = Pace::new(begun, 500.0);
        pace.resume(100.0);
        assert_eq!((pace.left(at(10)), pace.rate()), (None, 0.0), "nothing to foresee it from");
        pace.advance(100.0, at(60));
        assert_eq!(pace.rate(), 100.0 / 60.0);
        assert_eq!(pace.left(at(60)), Some(Duration::from_secs(180)));
        assert_eq!(pace.left(at(110)), Some(Duration::from_secs(130)), "nothing new: it comes nearer");
        assert_eq!(pace.left(at(241)), None, "later than foreseen");
        pace.advance(200.0, at(300));
        assert_eq!(pace.left(at(300)), Some(Duration::from_secs(100)));
        pace.lose(150.0);
        assert_eq!(pace.left(at(300)), Some(Duration::from_secs(500)));
        pace.lose(150.0);
        assert_eq!(pace.left(at(300)), None);
    }
}
