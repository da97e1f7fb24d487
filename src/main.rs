//! The program `laser-scan`: reads the command line, runs the command and ends with an exit status.

mod cli;
mod commands;
mod defect;
// Elsewhere Ctrl-C ends the process before anything can be said about it.
#[cfg_attr(not(unix), expect(dead_code, reason = "what is said after an interruption"))]
mod terminal;

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Result;

use commands::task::Task;
use terminal::Terminal;

fn main() -> ExitCode {
    defect::guarded(run)
}

fn run() -> ExitCode {
    let (options, task) = cli::read();
    let terminal = Arc::new(Terminal::new(&options));
    let result = match &task {
        Task::Scan(_) => on_signals(&terminal).and_then(|()| commands::run(&task, &terminal)),
        _ => commands::run(&task, &terminal),
    };
    match result {
        Ok(status) => status,
        Err(error) => {
            terminal.error(&error);
            ExitCode::FAILURE
        }
    }
}

/// Ends the process at once on Ctrl-C and on `kill`: measurements are in the journal, and downloads in the cache. It dies by
/// the signal, so that a shell script that runs it stops too.
#[cfg(unix)]
fn on_signals(terminal: &Arc<Terminal>) -> Result<()> {
    use std::sync::mpsc;
    use std::time::Duration;

    use anyhow::Context as _;
    use signal_hook::consts::{SIGINT, SIGTERM};
    use signal_hook::iterator::Signals;

    /// An interrupted scan waits at most this long for its last message to be printed.
    const LAST_MESSAGE: Duration = Duration::from_millis(300);

    let mut signals = Signals::new([SIGINT, SIGTERM]).context("cannot watch for Ctrl-C")?;
    let terminal = Arc::clone(terminal);
    std::thread::Builder::new()
        .name("signals".into())
        .spawn(move || {
            if let Some(signal) = signals.forever().next() {
                // Standard error may be a pipe that nobody reads, which must not keep the process alive.
                let (said, heard) = mpsc::channel();
                let _ = std::thread::Builder::new().spawn(move || {
                    terminal.interrupted();
                    said.send(())
                });
                let _ = heard.recv_timeout(LAST_MESSAGE);
                if signal_hook::low_level::emulate_default_handler(signal).is_err() {
                    std::process::exit(128 + signal);
                }
            }
        })
        .context("cannot watch for Ctrl-C")?;
    Ok(())
}

/// Ctrl-C ends the process by itself.
#[cfg(not(unix))]
fn on_signals(_terminal: &Arc<Terminal>) -> Result<()> {
    Ok(())
}
