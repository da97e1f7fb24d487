//! How a run gets on, where standard error is no terminal: one line each half minute, or JSON for machines.

use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

use indicatif::{HumanBytes, HumanDuration};
use laser_scan::output::timestamp;
use serde_json::{Map, Value, json};

use super::Lines;
use super::download::Downloading;
use super::pace::Pace;

/// How often there is news.
const PERIOD: Duration = Duration::from_secs(30);

/// How messages on standard error are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// Sentences for a person.
    #[default]
    Text,
    /// One JSON object a line, with the `time`, the `event` and its own fields.
    Json,
}

/// What the news of a run are made of.
pub struct Run {
    pub modules: usize,
    pub pace: Pace,
    pub downloading: Downloading,
}

/// Writes a line each half minute until it is dropped.
pub struct Log {
    /// Dropped first, so that the thread ends.
    end: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Log {
    /// Begins to write how `run` gets on. `done` tells how many modules are done.
    pub fn begin(lines: Lines, run: Run, done: impl Fn() -> usize + Send + 'static) -> Self {
        let (end, ended) = mpsc::channel();
        let write = move || {
            while ended.recv_timeout(PERIOD) == Err(RecvTimeoutError::Timeout) {
                let news = News::of(&run, done());
                match lines.format {
                    LogFormat::Text => lines.text(&news.sentence()),
                    LogFormat::Json => lines.event("progress", news.fields()),
                }
            }
        };
        // Without a thread there is no news, which is no reason to end the run.
        let thread = thread::Builder::new().name("log".to_owned()).spawn(write).ok();
        Self { end: Some(end), thread }
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.end.take();
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// How far a run is.
#[derive(Debug, PartialEq)]
struct News {
    done: usize,
    modules: usize,
    flops_done: f64,
    flops: f64,
    flops_per_second: f64,
    left: Option<Duration>,
    /// How many bytes of all files are there, how many there will be, and how many come in a second.
    download: Option<[u64; 3]>,
}

impl News {
    fn of(run: &Run, done: usize) -> Self {
        let Run { modules, pace, downloading } = run;
        let now = Instant::now();
        Self {
            done,
            modules: *modules,
            flops_done: pace.whole() * pace.share(),
            flops: pace.whole(),
            flops_per_second: pace.rate(),
            // Before the first module is done there is only the download to estimate from.
            left: pace.left(now).max(downloading.left(now)),
            download: downloading.bytes(),
        }
    }

    fn sentence(&self) -> String {
        let mut text = format!(
            "{} of {} modules, {:.0} % of the arithmetic",
            self.done,
            self.modules,
            100.0 * self.flops_done / self.flops.max(1.0)
        );
        if let Some(left) = self.left {
            text += &format!(", {:#} left", HumanDuration(left));
        }
        if let Some([there, size, rate]) = self.download {
            let [there, size, rate] = [there, size, rate].map(HumanBytes);
            text += &format!("; downloaded {there} of {size}, {rate}/s");
        }
        text
    }

    fn fields(&self) -> Value {
        let mut fields = json!({
            "modules_done": self.done,
            "modules": self.modules,
            "flops_done": self.flops_done,
            "flops": self.flops,
            "flops_per_second": self.flops_per_second,
            "seconds_left": self.left.map(|left| left.as_secs()),
        });
        if let Some([there, size, rate]) = self.download {
            fields["download"] = json!({"bytes": there, "size": size, "bytes_per_second": rate});
        }
        fields
    }
}

/// An event as one line of JSON.
pub fn json_line(event: &str, fields: Value) -> String {
    let mut line = Map::new();
    line.insert("time".to_owned(), timestamp(SystemTime::now()).into());
    line.insert("event".to_owned(), event.into());
    if let Value::Object(fields) = fields {
        line.extend(fields);
    }
    Value::Object(line).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn news_says_what_is_done_and_what_is_left() {
        let news = News {
            done: 12,
            modules: 224,
            flops_done: 5e11,
            flops: 1e13,
            flops_per_second: 2.5e10,
            left: Some(Duration::from_secs(380)),
            download: Some([1 << 30, 1 << 32, 80 << 20]),
        };
        assert_eq!(
            news.sentence(),
            "12 of 224 modules, 5 % of the arithmetic, 6m left; downloaded 1.00 GiB of 4.00 GiB, 80.00 MiB/s"
        );
        let first = News { done: 0, flops_done: 0.0, left: None, download: None, ..news };
        assert_eq!(first.sentence(), "0 of 224 modules, 0 % of the arithmetic");
        assert_eq!(first.fields()["seconds_left"], Value::Null);
        assert_eq!(first.fields().get("download"), None);
    }

    #[test]
    fn an_event_is_one_line_of_json() {
        let line = json_line("warning", json!({"message": "one\ntwo"}));
        let parsed: Value = serde_json::from_str(&line).expect("JSON");
        assert!(!line.contains('\n') && parsed["time"].as_str().is_some_and(|time| time.ends_with('Z')), "{line}");
        assert_eq!((&parsed["event"], &parsed["message"]), (&json!("warning"), &json!("one\ntwo")));
    }
}
