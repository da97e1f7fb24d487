//! The message about a panic, which is a defect of the program itself. The panic's own message may quote somebody's file, so that
//! only the place in the source is printed.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::Write as _;
use std::panic::{self, AssertUnwindSafe, Location};
use std::process::ExitCode;

/// Runs the program. An uncaught panic ends it with the exit status of other errors.
pub fn guarded(program: impl FnOnce() -> ExitCode) -> ExitCode {
    panic::set_hook(Box::new(|panic| {
        // There is nowhere to report that standard error is closed.
        let _ = writeln!(anstream::stderr(), "{}", report(panic.location(), &Backtrace::capture()));
    }));
    panic::catch_unwind(AssertUnwindSafe(program)).unwrap_or(ExitCode::FAILURE)
}

/// The sentence for a person, with a backtrace if RUST_BACKTRACE asks for one.
fn report(location: Option<&Location<'_>>, backtrace: &Backtrace) -> String {
    let place = location.map_or("an unknown place".to_owned(), |place| format!("{}:{}", place.file(), place.line()));
    let version = env!("CARGO_PKG_VERSION");
    let text = format!("error: laser-scan {version} has a defect, at {place}: please report it, with the command line");
    match backtrace.status() {
        BacktraceStatus::Captured => format!("{text}\n{backtrace}"),
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[test]
    fn a_panic_says_where_but_not_what() {
        let said = Arc::new(Mutex::new(String::new()));
        let (hook, own) = (Arc::clone(&said), std::thread::current().id());
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            if std::thread::current().id() == own {
                let traces = [Backtrace::disabled(), Backtrace::force_capture()];
                let texts = traces.map(|trace| report(panic.location(), &trace));
                *hook.lock().expect("no panic here") = texts.concat();
            } else {
                // This is the panic of another test.
                before(panic);
            }
        }));
        let secret = "wandb_key: hunter2\u{e9}".to_owned();
        let caught = panic::catch_unwind(|| secret[..secret.len() - 1].len());
        let _ = panic::take_hook();
        let quoted = caught.expect_err("no boundary of a character");
        let quoted = quoted.downcast_ref::<String>().expect("a text");
        assert!(quoted.contains("hunter2"), "the panic itself quotes: {quoted}");
        let said = said.lock().expect("no panic here").clone();
        let version = env!("CARGO_PKG_VERSION");
        assert!(said.starts_with(&format!("error: laser-scan {version} has a defect, at src/defect.rs:")), "{said}");
        assert!(
            said.contains(": please report it, with the command line")
                && said.contains("catch_unwind")
                && !said.contains("hunter2"),
            "{said}"
        );
    }
}
