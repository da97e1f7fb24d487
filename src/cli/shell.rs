//! What shells and `man` have of the command line: `laser-scan completions` and `laser-scan man`.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use clap::{Args, Command};
use clap_complete::Shell;
use clap_mangen::Man;

const COMPLETIONS: &str = "\
Examples:
  laser-scan completions bash > ~/.local/share/bash-completion/completions/laser-scan
  laser-scan completions zsh > ~/.zfunc/_laser-scan          # a folder of $fpath
  laser-scan completions fish > ~/.config/fish/completions/laser-scan.fish";

/// Print what a shell needs to complete commands and options.
#[derive(Debug, Args)]
#[command(after_long_help = COMPLETIONS)]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

/// Write a manual page for every command into a folder, such as ~/.local/share/man/man1.
#[derive(Debug, Args)]
pub struct ManArgs {
    /// The folder, which is created if it is not there; without one, the page of laser-scan itself is printed
    #[arg(value_name = "DIR")]
    folder: Option<PathBuf>,
}

impl CompletionsArgs {
    pub fn run(&self, mut command: Command) -> io::Result<()> {
        let mut script = Vec::new();
        let name = command.get_name().to_owned();
        clap_complete::generate(self.shell, &mut command, name.clone(), &mut script);
        print(&if self.shell == Shell::Bash { of_one_spelling(&script, &name) } else { script })
    }
}

impl ManArgs {
    pub fn run(&self, mut command: Command) -> io::Result<()> {
        command.build();
        match &self.folder {
            None => print(&page(&command)?),
            Some(folder) => {
                let written = fs::create_dir_all(folder).and_then(|()| write_pages(&command, folder));
                written.map_err(|error| {
                    io::Error::other(format!("the pages cannot be written to '{}': {error}", folder.display()))
                })
            }
        }
    }
}

/// The script for Bash with one spelling of a program's name that has a hyphen. clap_complete writes it in one way where it notes which
/// command is typed and in another where it completes that command: <https://github.com/clap-rs/clap/issues/6421>.
fn of_one_spelling(script: &[u8], name: &str) -> Vec<u8> {
    let [noted, other] = ["__", "__subcmd__"].map(|hyphen| name.replace('-', hyphen));
    String::from_utf8_lossy(script).replace(&other, &noted).into_bytes()
}

/// Writes the page of `command` and those of its own commands.
fn write_pages(command: &Command, folder: &Path) -> io::Result<()> {
    let name = command.get_display_name().unwrap_or(command.get_name());
    fs::write(folder.join(format!("{name}.1")), page(command)?)?;
    command
        .get_subcommands()
        .filter(|command| command.get_name() != "help")
        .try_for_each(|command| write_pages(command, folder))
}

fn page(command: &Command) -> io::Result<Vec<u8>> {
    let mut page = Vec::new();
    Man::new(command.clone()).render(&mut page)?;
    Ok(page)
}

/// Prints what a program reads. That it stops early is no error.
fn print(text: &[u8]) -> io::Result<()> {
    match io::stdout().write_all(text) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written.map_err(|error| io::Error::other(format!("standard output cannot be written: {error}"))),
    }
}
