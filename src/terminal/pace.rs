//! How fast a run measures, from which its end is foreseen.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use super::lock;

/// The pace of one run. Its mean over the whole run counts: large modules end minutes apart, so that the rate of the last seconds would
/// say nothing. Clones share it.
#[derive(Clone)]
pub struct Pace(Arc<Mutex<Run>>);

/// Work is in floating-point operations.
struct Run {
    begun: Instant,
    /// When the last module was done.
    last: Instant,
    /// What an earlier run has done.
    earlier: f64,
    /// What this run has done.
    done: f64,
    whole: f64,
}

impl Pace {
    pub fn new(begun: Instant, whole: f64) -> Self {
        Self(Arc::new(Mutex::new(Run { begun, last: begun, earlier: 0.0, done: 0.0, whole })))
    }

    /// An earlier run has done this much.
    pub fn resume(&self, done: f64) {
        self.lock().earlier = done;
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

    /// All work, of earlier runs too.
    pub fn whole(&self) -> f64 {
        self.lock().whole
    }

    /// How much of the whole is done, from 0 to 1.
    pub fn share(&self) -> f64 {
        let run = self.lock();
        let share = (run.earlier + run.done) / run.whole.max(1.0);
        // The same numbers, added up in another order, may differ in their last digits.
        if share > 1.0 - 1e-9 { 1.0 } else { share.max(0.0) }
    }

    /// The work of a second; 0 before the first module is done.
    pub fn rate(&self) -> f64 {
        self.lock().rate()
    }

    /// How long the rest will take, seen from `now`. `None` before the first module is done, and when the rest takes longer than it
    /// should have.
    pub fn left(&self, now: Instant) -> Option<Duration> {
        let run = self.lock();
        let seconds =
            (run.whole - run.earlier - run.done) / run.rate() - now.saturating_duration_since(run.last).as_secs_f64();
        Duration::try_from_secs_f64(seconds).ok()
    }

    fn lock(&self) -> MutexGuard<'_, Run> {
        lock(&self.0)
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
        assert_eq!((pace.rate(), pace.share()), (100.0 / 60.0, 0.4));
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
