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
        clap_complete::generate(self.shell, &mut command, name, &mut script);
        print(&script)
    }
}

impl ManArgs {
    pub fn run(&self, mut command: Command) -> io::Result<()> {
        command.build();
        match &self.folder {
            None => print(&page(&command)?),
            Some(folder) => {
                fs::create_dir_all(folder)?;
                write_pages(&command, folder)
            }
        }
    }
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
        written => written,
    }
}
